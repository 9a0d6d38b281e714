"""Faults of a connection: what is cut, comes late, or comes without a request. Pure: the caller has the transport."""

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from leadpay.sandbox.faults import Fault
from leadpay.sandbox.http_api import Response

if TYPE_CHECKING:
    from asyncio import Transport

CUTS: Final = frozenset({"cut_before", "response_lost", "response_cut"})
"""Faults that end a connection."""


class ConnectionFaults:
    """What each open connection has sent.

    Args:
        later: calls a function after so many seconds.
    """

    __slots__ = ("_delayed", "_last", "_later")

    def __init__(self, later: Callable[[float, Callable[[], None]], None]) -> None:
        self._later = later
        self._last: WeakKeyDictionary[Transport, Response] = WeakKeyDictionary()
        self._delayed: WeakKeyDictionary[Transport, bool] = WeakKeyDictionary()

    def apply(self, transport: "Transport | None", response: Response) -> Response:
        """Do to a connection what a response's fault says; returns the response to send."""
        if transport is None:  # the client has disconnected
            return response
        fault = response.fault
        if fault is not None and fault.kind in CUTS:
            _cut(transport, response, fault)
        if fault is not None and fault.kind == "unsolicited_response":
            self._later(fault.value, lambda: _write_unsolicited(transport, fault))
        earlier = self._last.get(transport)
        self._last[transport] = response
        if earlier is not None and fault is not None and fault.kind == "late_response":
            self._delayed[transport] = True
        return earlier if earlier is not None and transport in self._delayed else response


def _cut(transport: "Transport", response: Response, fault: Fault) -> None:
    if fault.kind == "response_cut":
        transport.write(_head(response) + response.body[: int(fault.value)])
    transport.close()


def _write_unsolicited(transport: "Transport", fault: Fault) -> None:
    if not transport.is_closing():
        response = Response(fault.status, fault.body.encode(), (("Content-Type", fault.content_type),))
        transport.write(_head(response) + response.body)


def _head(response: Response) -> bytes:
    headers = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
    phrase = HTTPStatus(response.status).phrase if response.status in set(HTTPStatus) else "Error"
    return f"HTTP/1.1 {response.status} {phrase}\r\n{headers}Content-Length: {len(response.body)}\r\n\r\n".encode()

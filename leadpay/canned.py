"""Canned responses for a client in unit tests, on aioresponses: the fixture ``leadpay_canned``.

aioresponses 0.7.9 makes responses without an argument that aiohttp 3.14 requires. Each call then ends in an error that
names no cause. The responses made here have it.
"""

import inspect
import json
import time
import uuid
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import aiohttp

from leadpay.config import BASE_URLS
from leadpay.sandbox import sample

if TYPE_CHECKING:
    from aioresponses import aioresponses

    from leadpay.client import LeadClient

LOOPBACK: Final = ("http://127.0.0.1", "http://localhost", "http://[::1]")
"""Where requests are really sent: to a sandbox, or to an endpoint for webhooks."""

_NOTHING_WRITTEN: Final = SimpleNamespace(output_size=0)


class CannedResponse(aiohttp.ClientResponse):
    """A response that aioresponses can make with every version of aiohttp."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        parameters = inspect.signature(aiohttp.ClientResponse.__init__).parameters
        wanted = {"stream_writer": _NOTHING_WRITTEN} if "stream_writer" in parameters else {}
        super().__init__(*arguments, **{**wanted, **named})


class SentRequest(NamedTuple):
    """A request that got a canned response."""

    method: str
    path: str
    """With its query."""
    body: Any
    """The JSON of the body; None without a body."""
    key: str | None
    """The idempotency key."""


class CannedBank:
    """Gives a client the responses that a test wrote down, without a server and without a port.

    A request for which there is no response fails the test. A response is given once, unless ``repeat`` is True.
    Requests to loopback addresses are really sent.

    Args:
        client: the client; it calls Lead's sandbox environment.
        fail: ends the test, with a message.
    """

    url: str = BASE_URLS["sandbox"]
    """The address that the client calls."""

    def __init__(self, client: "LeadClient", fail: Callable[[str], NoReturn]) -> None:
        self.client = client
        self._sent: list[SentRequest] = []
        self.responses = _aioresponses(self._sent, fail)
        """The object of aioresponses, for everything that this class does not have."""

    def get(self, path: str, payload: Any = None, **options: Any) -> None:
        """Write down the response to a GET.

        Args:
            path: such as ``/v1/instant_payments/instant_payment_1``, with its query.
            payload: the JSON of the response.
            options: those of aioresponses: ``status``, ``body``, ``headers``, ``exception``, ``repeat``, ``callback``.
        """
        self._add("GET", path, payload, options)

    def post(self, path: str, payload: Any = None, **options: Any) -> None:
        """Write down the response to a POST; see :meth:`get`."""
        self._add("POST", path, payload, options)

    def patch(self, path: str, payload: Any = None, **options: Any) -> None:
        """Write down the response to a PATCH; see :meth:`get`."""
        self._add("PATCH", path, payload, options)

    def accept_sends(self, **changes: Any) -> None:
        """Respond to every send from now on with a payment that was created as it was ordered.

        Args:
            changes: fields of the payment, such as ``id="instant_payment_1"``.
        """

        def create(_: object, *, data: bytes, **__: object) -> Any:
            from aioresponses import CallbackResult  # noqa: PLC0415 - an optional library

            payment = {**self.payment(status="created"), **json.loads(data), **changes}
            return CallbackResult(payload=payment, response_class=CannedResponse)

        self.post("/v1/instant_payments", callback=create, repeat=True)

    def payment(self, *, event: str = "posted", direction: str | None = None, **changes: Any) -> dict[str, Any]:
        """The JSON of a payment, as it is after an event.

        Args:
            event: the type of the event.
            direction: ``outgoing`` or ``incoming``, for types that exist in both.
            changes: fields to set, such as ``amount=700``.
        """
        made = sample(event, now=time.time(), new_uuid=uuid.uuid4, direction=direction)["object"]
        return {**made, **changes}

    @property
    def requests(self) -> list[SentRequest]:
        """The requests that were sent, in their order."""
        return list(self._sent)

    def _add(self, method: str, path: str, payload: Any, options: Mapping[str, Any]) -> None:
        if not path.startswith("/"):
            raise ValueError("path: must begin with a slash, such as /v1/instant_payments")
        self.responses.add(
            f"{self.url}{path}", method, payload=payload, **{"response_class": CannedResponse, **options}
        )


def _aioresponses(sent: list[SentRequest], fail: Callable[[str], NoReturn]) -> "aioresponses":
    """Make the object of aioresponses; it records requests, and one without a response calls ``fail``."""
    from aioresponses import aioresponses  # noqa: PLC0415 - an optional library

    class Responses(aioresponses):
        async def match(self, method: str, url: Any, allow_redirects: bool = True, **options: Any) -> Any:
            body, headers = options.get("data"), options.get("headers") or {}
            key = headers.get("Idempotency-Key")
            sent.append(SentRequest(method, url.raw_path_qs, json.loads(body) if body else None, key))
            found = await super().match(method, url, allow_redirects, **options)
            # Without a response, aioresponses raises what a lost connection raises, and the client would try again.
            return found or fail(f"no canned response is left for {method} {url.path}")

    return Responses(passthrough=list(LOOPBACK))

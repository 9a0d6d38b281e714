"""Faults of a connection, on a transport that only records, and once over a real socket."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from leadpay.sandbox import Fault, ManualClock, Sandbox
from leadpay.sandbox.connections import ConnectionFaults
from leadpay.sandbox.http_api import Response


class RecordingTransport:
    """A transport that notes what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        """Note the bytes."""
        self.written += data

    def close(self) -> None:
        """Note the end."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed


@pytest.fixture
def transport() -> Any:
    return RecordingTransport()


@pytest.fixture
def later() -> list[tuple[float, Callable[[], None]]]:
    return []


@pytest.fixture
def connections(later: list[tuple[float, Callable[[], None]]]) -> ConnectionFaults:
    return ConnectionFaults(lambda seconds, action: later.append((seconds, action)))


def response(body: bytes, kind: str | None = None, **fields: Any) -> Response:
    """A response, with a fault if a kind is given."""
    return Response(200, body, fault=None if kind is None else Fault(kind=kind, **fields))


def test_a_cut_response_ends_within_its_body(connections: ConnectionFaults, transport: Any) -> None:
    """Its head announces the whole length."""
    connections.apply(transport, response(b"0123456789", "response_cut", value=4))
    assert transport.written.endswith(b"Content-Length: 10\r\n\r\n0123")
    assert transport.closed


@pytest.mark.parametrize("kind", ["cut_before", "response_lost"])
def test_a_lost_response_is_not_written(connections: ConnectionFaults, transport: Any, kind: str) -> None:
    """The connection is closed."""
    connections.apply(transport, response(b"lost", kind))
    assert (transport.written, transport.closed) == (b"", True)


def test_a_client_that_has_disconnected_gets_nothing(connections: ConnectionFaults) -> None:
    """There is no transport to cut."""
    lost = response(b"lost", "response_lost")
    assert connections.apply(None, lost) is lost


def test_late_responses_are_those_of_the_request_before(connections: ConnectionFaults, transport: Any) -> None:
    """This lasts as long as the connection; other connections are not affected."""
    sent = [
        connections.apply(transport, one).body
        for one in (response(b"1"), response(b"2", "late_response"), response(b"3"))
    ]
    assert sent == [b"1", b"1", b"2"]
    other: Any = RecordingTransport()
    assert connections.apply(other, response(b"4", "late_response")).body == b"4"
    assert connections.apply(other, response(b"5")).body == b"5"


@pytest.mark.parametrize(("status", "phrase"), [(400, b"400 Bad Request"), (499, b"499 Error")])
def test_an_unsolicited_response_is_written_later(
    connections: ConnectionFaults,
    transport: Any,
    later: list[tuple[float, Callable[[], None]]],
    status: int,
    phrase: bytes,
) -> None:
    """It is not written to a connection that was closed meanwhile."""
    asked = response(b"1", "unsolicited_response", value=3, status=status)
    assert connections.apply(transport, asked) is asked
    [(seconds, write)] = later
    assert (seconds, transport.written) == (3, b"")
    write()
    assert transport.written.startswith(b"HTTP/1.1 " + phrase)
    transport.closed, length = True, len(transport.written)
    write()
    assert len(transport.written) == length


@pytest.mark.asyncio
async def test_the_next_request_on_the_connection_reads_an_unsolicited_response() -> None:
    """A client that takes whatever comes first would believe it."""
    clock = ManualClock()
    async with Sandbox(clock=clock) as bank, aiohttp.ClientSession() as session:
        bank.faults.add("unsolicited_response:list:1", value=5)
        token = bank.tokens.issue({"client_id": bank.client_id, "client_secret": bank.client_secret})["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with session.get(f"{bank.url}/v1/instant_payments", headers=headers) as first:
            assert first.status == 200
            await first.read()
        await clock.advance(5)
        await asyncio.sleep(0)
        async with session.get(f"{bank.url}/v1/instant_payments", headers=headers) as second:
            assert (second.status, second.content_type) == (400, "text/html")

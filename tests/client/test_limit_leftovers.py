"""What a time limit leaves behind: nothing that grows, and nobody who waits for ever."""

import asyncio
import gc
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, NamedTuple, TypeVarTuple, cast

import aiohttp
import pytest
from aiohttp import web

from leadpay.client.limit import SingleTimeLimit, TimeLimit
from leadpay.client.requests import Request, RetrySafety
from leadpay.client.transport import Transport
from leadpay.config import Timeouts
from leadpay.errors import LeadError, NoAnswerError

Values = TypeVarTuple("Values")

LONG = 30.0
SHORT = 0.01
POST = Request("send", RetrySafety.IDEMPOTENT, "POST", "/v1/instant_payments", None, "key-1")
REQUEST = Request("retrieve", RetrySafety.SAFE, "GET", "/v1/instant_payments/1")


class Counting(asyncio.SelectorEventLoop):
    """An event loop that remembers its timers."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[asyncio.TimerHandle] = []

    def call_at(
        self, when: float, callback: Callable[[*Values], object], *args: *Values, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Remember it."""
        timer = super().call_at(when, callback, *args, context=context)
        self.timers.append(timer)
        return timer

    def to_come(self) -> int:
        """Count those that may still go off."""
        return sum(not timer.cancelled() for timer in self.timers)


def test_a_single_wait_takes_its_timer_along() -> None:
    """Where each call has less time than usual, there would soon be as many timers as calls."""
    loop = Counting()

    async def begin_and_end() -> None:
        for error in (None, LookupError()):
            limit = SingleTimeLimit(LONG)
            wait = limit.begin()
            assert loop.to_come() == 1
            limit.end(wait, error)
            assert loop.to_come() == 0

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(begin_and_end())


def test_calls_with_less_time_than_usual_leave_no_timer() -> None:
    """As where a call's deadline is shorter than an attempt may be."""
    loop = Counting()

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({})

    async def call() -> None:
        app = web.Application()
        app.router.add_get(REQUEST.path, answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with aiohttp.ClientSession() as session:
            host, port = runner.addresses[0]
            send = Transport(session, f"http://{host}:{port}", Timeouts()).send
            await send(REQUEST, None, LONG)
            before = loop.to_come()
            for _ in range(5):
                assert (await send(REQUEST, None, 20.0)).status == 200
            assert loop.to_come() <= before
        await runner.cleanup()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(call())


@pytest.mark.asyncio
async def test_a_single_wait_is_stopped_like_others() -> None:
    """And its timer is gone by then."""
    limit = SingleTimeLimit(SHORT)
    wait = limit.begin()
    with pytest.raises(asyncio.CancelledError) as stopped:
        await asyncio.Event().wait()
    with pytest.raises(TimeoutError):
        limit.end(wait, stopped.value)


class Stubborn(asyncio.Future[None]):
    """What cannot be cancelled."""

    def cancel(self, msg: Any = None) -> bool:
        """Fail."""
        raise LookupError


@pytest.mark.asyncio
async def test_who_cannot_be_stopped_leaves_the_others_their_limit() -> None:
    """Else they would wait for ever."""
    limit = TimeLimit(SHORT)
    loop = asyncio.get_running_loop()
    reports: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, report: reports.append(report))
    stubborn = Stubborn()

    async def wait(what: asyncio.Future[None]) -> None:
        number = limit.begin()
        try:
            await what
        except BaseException as error:
            limit.end(number, error)
            raise
        limit.end(number)

    first, second = asyncio.create_task(wait(stubborn)), asyncio.create_task(wait(loop.create_future()))
    await asyncio.wait([second], timeout=1)
    assert isinstance(second.exception(), TimeoutError)
    stubborn.set_result(None)
    await first
    assert [type(report["exception"]) for report in reports] == [LookupError]


@contextmanager
def without_collector() -> Iterator[None]:
    """Let only that be freed which nothing refers to."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("closes", [True, False])
@pytest.mark.asyncio
async def test_an_error_does_not_hold_the_task_that_it_ended(*, closes: bool) -> None:
    """Else each failed call would stay in memory with all its frames until the collector comes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await reader.readuntil(b"\r\n\r\n")
        if not closes:
            await silence.wait()
        writer.close()

    silence = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, aiohttp.ClientSession() as session:
        send = Transport(session, f"http://{host}:{port}", Timeouts()).send
        assert (await send(REQUEST, None, LONG)).status == 200
        with without_collector():
            task = asyncio.create_task(send(POST, None, 2 * SHORT))
            await asyncio.wait([task])
            assert isinstance(task.exception(), NoAnswerError)
            ended = weakref.ref(task)
            del task
            await asyncio.sleep(0)
            assert ended() is None
        silence.set()


@pytest.mark.asyncio
async def test_connecting_ends_before_an_attempt_that_has_little_time() -> None:
    """What had no connection by then was surely not sent; at the end of the attempt itself, nobody could tell."""
    given: list[aiohttp.ClientTimeout] = []

    class Session(NamedTuple):
        closed: bool = False

        async def request(self, *_: object, **options: Any) -> None:
            given.append(options["timeout"])
            raise OSError

    send = Transport(cast("aiohttp.ClientSession", Session()), "http://127.0.0.1", Timeouts(connect=5.0)).send
    for left in (4.0, 0.03, 0.01, -1.0):
        with pytest.raises(LeadError):
            await send(REQUEST, None, left)
    assert [timeout.connect for timeout in given] == pytest.approx([3.98, 0.01, 0.001, 0.001])
    assert [timeout.sock_connect for timeout in given] == [timeout.connect for timeout in given]


@pytest.mark.asyncio
async def test_an_answer_that_keeps_its_connection_gives_it_back_all_the_same() -> None:
    """As 101 does, which the last byte does not end; whoever left it open would be warned of at some later time."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await reader.read()
        closed.set()
        writer.close()

    asyncio.get_running_loop().set_debug(True)  # aiohttp warns of it only then
    closed = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        send = Transport(session, f"http://{host}:{port}", Timeouts()).send
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            for _ in range(2):
                assert (await send(REQUEST, None, LONG)).status == 101
        assert not [warning for warning in warned if issubclass(warning.category, ResourceWarning)]
        await asyncio.wait_for(closed.wait(), 1)

"""The pytest plugin: fixtures with a simulated bank, a client, a clock and webhooks for your own tests.

pytest loads it once leadpay is installed; it needs no configuration. Its fixtures are not asynchronous, so that they
work with pytest-asyncio in both modes, with anyio, and in tests that are not asynchronous::

    @pytest.mark.asyncio
    async def test_a_payment_is_credited(leadpay_deliver):
        outcome = await leadpay_deliver("posted", router, direction="incoming", amount=5000)
        assert outcome.succeeded

The bank runs in a thread with its own event loop, so that it is ready before the test's fixtures and event loop.
"""

import asyncio
import functools
import importlib.util
import inspect
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, overload

import pytest

if TYPE_CHECKING:
    # Imported when a fixture is used: every run of pytest loads the plugin.
    from leadpay.canned import CannedBank
    from leadpay.client import LeadClient
    from leadpay.exam import ExamReport
    from leadpay.models import Event
    from leadpay.outbox import Outbox
    from leadpay.outbox.crashes import CrashPoint
    from leadpay.sandbox import ManualClock, Sandbox
    from leadpay.sandbox.delivery import Attempt
    from leadpay.sandbox.faults import Faults
    from leadpay.webhooks.dispatcher import Outcome
    from leadpay.webhooks.receiver import WebhookReceiver
    from leadpay.webhooks.router import WebhookRouter

    AnyEvent: TypeAlias = str | Mapping[str, Any] | Event

T = TypeVar("T")

SECRET: Final = "whsec_leadpay_test"  # noqa: S105 - a public secret, for tests
"""The secret with which ``leadpay_sign``, ``leadpay_deliver`` and the bank sign; give it to your receiver."""


class BankThread:
    """An event loop in a thread, in which a bank runs."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="leadpay-sandbox", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there, and block until it ends."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there, and await it: this event loop may have to respond to webhooks meanwhile."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def close(self) -> None:
        """Stop the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class TestClock:
    """The bank's time, which stands still until :meth:`advance` is called. It starts at the current time.

    Give it to a receiver (``WebhookReceiver(..., clock=leadpay_clock)``), so that the age of a signature is that at the
    bank. Its :meth:`sleep` returns at once.
    """

    __test__ = False

    def __init__(self, thread: BankThread, clock: "ManualClock") -> None:
        self._thread = thread
        self._clock = clock
        self.manual = clock

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002 - a client's pauses take no time in a test
        """Return at once."""
        await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Move the bank's time: everything that becomes due happens, and its webhooks are delivered.

        Args:
            seconds: how far, 0 or more.
        """
        await self._thread.wait(self._clock.advance(seconds))


class TestBank:
    """A sandbox in its own thread, with the methods of :class:`leadpay.sandbox.Sandbox`."""

    __test__ = False

    def __init__(self, thread: BankThread, sandbox: "Sandbox") -> None:
        self._thread = thread
        self.sandbox = sandbox
        """The bank itself. Only read from it: it runs in another thread."""

    @property
    def url(self) -> str:
        """The base URL."""
        return self.sandbox.url

    @property
    def webhook_url(self) -> str | None:
        """The endpoint for webhooks."""
        return self.sandbox.webhook_url

    @webhook_url.setter
    def webhook_url(self, url: str | None) -> None:
        self.sandbox.webhook_url = url

    @property
    def webhook_secret(self) -> str:
        """The secret that signs webhooks: ``leadpay.testing.SECRET``."""
        return self.sandbox.webhook_secret

    def client(self, **overrides: Any) -> "LeadClient":
        """Another client of this bank; close it yourself."""
        return self.sandbox.client(**overrides)

    @property
    def attempts(self) -> "list[Attempt]":
        """Every attempt to deliver a webhook, in order."""
        return self.sandbox.attempts

    @property
    def faults(self) -> "Faults":
        """The active faults: ``leadpay_sandbox.faults.add("response_lost:send:3")``."""
        return self.sandbox.faults

    def next_payment(self, outcome: str, *, direction: str = "outgoing") -> None:
        """Choose how the next payment ends, such as ``returned:account_closed``."""
        self._do(self.sandbox.next_payment, outcome, direction=direction)

    def release(self, payment_id: str) -> None:
        """Let a payment that is held continue."""
        self._do(self.sandbox.release, payment_id)

    def refuse(self, payment_id: str, reason: str = "regulatory_reason") -> None:
        """Reject a payment that is held."""
        self._do(self.sandbox.refuse, payment_id, reason)

    def return_payment(self, payment_id: str, reason: str = "other", amount: int | None = None) -> None:
        """Have the counterparty return an outgoing payment, in whole or in part."""
        self._do(self.sandbox.return_payment, payment_id, reason, amount)

    def request_return(self, payment_id: str, reason: str = "other") -> None:
        """Have the counterparty request the return of an incoming payment."""
        self._do(self.sandbox.request_return, payment_id, reason)

    async def wait_idle(self) -> None:
        """Wait until everything that is due has happened, and its webhooks were delivered or have failed."""
        await self._thread.wait(self.sandbox.wait_idle())

    def _do(self, function: Callable[..., object], *arguments: Any, **named: Any) -> None:
        async def work() -> None:
            function(*arguments, **named)

        self._thread.run(work())


class Sign:
    """Signs bodies as the bank does."""

    def __init__(self, clock: TestClock) -> None:
        self._clock = clock
        self.secret = SECRET

    def __call__(self, body: bytes, *, secret: str | None = None, age: float = 0.0) -> dict[str, str]:
        """Make the headers of a webhook.

        Args:
            body: its raw bytes.
            secret: another secret than ``SECRET``.
            age: how many seconds ago it was signed.
        """
        from leadpay.webhooks.signature import HEADER, sign  # noqa: PLC0415 - only when used

        return {HEADER: sign(body, secret or self.secret, int((self._clock.now() - age) * 1000))}


class Deliver:
    """Delivers events to a router, a receiver or a URL, once or several times, in any order."""

    def __init__(self, clock: TestClock, sign: Sign) -> None:
        self._clock = clock
        self._sign = sign

    def event(self, name: str, *, direction: str | None = None, **fields: Any) -> dict[str, Any]:
        """Make an event's JSON, with a payment as the bank would show it.

        Args:
            name: its type, such as ``posted``.
            direction: of its payment.
            fields: fields of the payment with their values; ``creditor__name`` is the creditor's name.

        Raises:
            ValueError: there is no such type, or it does not occur in that direction.
        """
        from leadpay.sandbox import sample  # noqa: PLC0415 - only when used

        event = sample(name, now=self._clock.now(), new_uuid=uuid.uuid4, direction=direction)
        for path, value in fields.items():
            *outer, last = path.split("__")
            inner = event["object"]
            for step in outer:
                inner = inner.setdefault(step, {})
            inner[last] = value
        return event

    @overload
    async def __call__(
        self,
        events: "AnyEvent",
        to: "WebhookRouter",
        *,
        times: None = None,
        reordered: bool = False,
        client: "LeadClient | None" = None,
        **fields: Any,
    ) -> "Outcome": ...

    @overload
    async def __call__(
        self,
        events: "AnyEvent",
        to: "WebhookReceiver | str",
        *,
        times: None = None,
        reordered: bool = False,
        **fields: Any,
    ) -> int: ...

    @overload
    async def __call__(
        self,
        events: "AnyEvent | Sequence[AnyEvent]",
        to: "WebhookRouter",
        *,
        times: int | None = None,
        reordered: bool = False,
        client: "LeadClient | None" = None,
        **fields: Any,
    ) -> "list[Outcome]": ...

    @overload
    async def __call__(
        self,
        events: "AnyEvent | Sequence[AnyEvent]",
        to: "WebhookReceiver | str",
        *,
        times: int | None = None,
        reordered: bool = False,
        **fields: Any,
    ) -> list[int]: ...

    async def __call__(
        self,
        events: "AnyEvent | Sequence[AnyEvent]",
        to: "WebhookRouter | WebhookReceiver | str",
        *,
        times: int | None = None,
        reordered: bool = False,
        client: "LeadClient | None" = None,
        **fields: Any,
    ) -> Any:
        """Deliver one event, or several.

        Args:
            events: a type, an event (JSON or a model), or several of them, in the order in which they happened.
            to: a router, whose handlers run every time; a receiver, which treats duplicates as in production; or the
                URL of an application.
            times: how many times each is delivered; 2 for a duplicate.
            reordered: whether the newest comes first.
            client: the handlers of a router get it as ``context.client``.
            fields: for types: see :meth:`event`.

        Returns:
            An Outcome for a router, otherwise a status; a list if ``events`` is a sequence or ``times`` is given.

        Raises:
            ConnectionError: the URL gave no response.
        """
        several: Sequence[Any] = [events] if isinstance(events, str) or not isinstance(events, Sequence) else events
        bodies = [self._body(event, fields) for event in several]
        if reordered:
            bodies.reverse()
        results = [await self._deliver(body, to, client) for body in bodies for _ in range(times or 1)]
        return results[0] if several is not events and times is None else results

    def _body(self, event: Any, fields: Mapping[str, Any]) -> bytes:
        from leadpay.converter import encode, unstructure  # noqa: PLC0415 - only when used

        if isinstance(event, str):
            event = self.event(event, **fields)
        return encode(event if isinstance(event, Mapping) else unstructure(event))

    async def _deliver(self, body: bytes, to: Any, client: "LeadClient | None") -> "Outcome | int":
        from leadpay.sandbox import post_webhook  # noqa: PLC0415 - only when used
        from leadpay.webhooks.receiver import WebhookReceiver  # noqa: PLC0415 - the same
        from leadpay.webhooks.signature import HEADER  # noqa: PLC0415 - the same

        headers = self._sign(body)
        if isinstance(to, str):
            status = await post_webhook(to, body, headers[HEADER])
            if status is None:
                raise ConnectionError(f"{to} gave no response")
            return status
        if isinstance(to, WebhookReceiver):
            return await to.receive(body=body, headers=headers)
        return await self._dispatch(body, to, client)

    async def _dispatch(self, body: bytes, router: "WebhookRouter", client: "LeadClient | None") -> "Outcome":
        from datetime import UTC, datetime  # noqa: PLC0415 - only when used

        from leadpay.webhooks.context import Context  # noqa: PLC0415 - the same
        from leadpay.webhooks.dispatcher import Dispatcher  # noqa: PLC0415 - the same
        from leadpay.webhooks.event import parse  # noqa: PLC0415 - the same

        event = parse(body)
        received_at = datetime.fromtimestamp(self._clock.now(), UTC)
        async with Dispatcher(router) as dispatcher:
            return await dispatcher.dispatch(event, Context(event=event, received_at=received_at, client=client))


@pytest.fixture
def _leadpay_thread() -> Iterator[BankThread]:
    thread = BankThread()
    yield thread
    thread.close()


@pytest.fixture
def leadpay_clock(_leadpay_thread: BankThread) -> TestClock:
    """The bank's time: ``await leadpay_clock.advance(3 * 3600)``."""
    from leadpay.sandbox import ManualClock  # noqa: PLC0415 - only when used

    return TestClock(_leadpay_thread, ManualClock(time.time()))


@pytest.fixture
def leadpay_sandbox(_leadpay_thread: BankThread, leadpay_clock: TestClock) -> Iterator[TestBank]:
    """A sandbox on a loopback port; its time stands still until ``leadpay_clock`` moves it."""
    from leadpay.sandbox import Sandbox  # noqa: PLC0415 - only when used

    async def start() -> Sandbox:
        return await Sandbox(clock=leadpay_clock.manual, delay=1, seed=7, webhook_secret=SECRET).__aenter__()

    sandbox = _leadpay_thread.run(start())
    yield TestBank(_leadpay_thread, sandbox)
    _leadpay_thread.run(sandbox.__aexit__(None, None, None))


@pytest.fixture
def leadpay_client(request: pytest.FixtureRequest, leadpay_sandbox: TestBank, leadpay_clock: TestClock) -> "LeadClient":
    """A client of that bank, closed when the test function ends; its pauses take no time."""
    client = leadpay_sandbox.client(clock=leadpay_clock)
    request.node.stash.setdefault(_CLIENTS, []).append(client)
    return client


@pytest.fixture
def leadpay_outbox(tmp_path: Path, leadpay_clock: TestClock) -> "Outbox":
    """An outbox in a file of the test's own, by the bank's time: ``async with leadpay_outbox as outbox``."""
    from leadpay.outbox import open_outbox  # noqa: PLC0415 - only when used

    return open_outbox(f"sqlite:///{tmp_path / 'leadpay-outbox.db'}", clock=leadpay_clock)


@pytest.fixture
def leadpay_crash() -> "Callable[[CrashPoint], AbstractContextManager[None]]":
    """Crashes the next sender at a point, such as ``"between answer and commit"``, while a ``with`` block lasts."""
    from leadpay.outbox.crashes import crash  # noqa: PLC0415 - only when used

    return crash


@pytest.fixture
def leadpay_sign(leadpay_clock: TestClock) -> Sign:
    """Headers with the bank's signature for the raw bytes of a body."""
    return Sign(leadpay_clock)


@pytest.fixture
def leadpay_deliver(leadpay_clock: TestClock, leadpay_sign: Sign) -> Deliver:
    """Delivers events to a router, a receiver or a URL, once or several times, in any order."""
    return Deliver(leadpay_clock, leadpay_sign)


@pytest.fixture
def leadpay_exam() -> "Callable[..., Awaitable[ExamReport]]":
    """Examines a router's handlers, as :func:`leadpay.exam.examine` does."""
    from leadpay.exam import examine  # noqa: PLC0415 - only when used

    return examine


@pytest.fixture
def leadpay_canned(request: pytest.FixtureRequest) -> "Iterator[CannedBank]":
    """Canned responses for ``leadpay_canned.client``, on aioresponses; the client's pauses take no time."""
    if importlib.util.find_spec("aioresponses") is None:
        pytest.fail("leadpay_canned needs aioresponses: pip install aioresponses", pytrace=False)
    from leadpay.canned import CannedBank  # noqa: PLC0415 - only when used
    from leadpay.client import LeadClient  # noqa: PLC0415 - only when used

    client = LeadClient(token="canned", clock=InstantClock())  # noqa: S106 - no bank accepts it
    request.node.stash.setdefault(_CLIENTS, []).append(client)
    canned = CannedBank(client, functools.partial(pytest.fail, pytrace=False))
    with canned.responses:
        yield canned


class InstantClock:
    """The machine's clock, with pauses that take no time."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds on a scale that never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002 - that is the point
        """Return at once."""
        await asyncio.sleep(0)


_CLIENTS: Final = pytest.StashKey[list[Any]]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Close the client in the event loop in which the test used it: each plugin runs its own."""
    clients = item.stash.get(_CLIENTS, [])
    function = getattr(item, "obj", None)
    if clients and inspect.iscoroutinefunction(function):
        item.obj = _closing(function, clients)  # type: ignore[attr-defined]  # a function's item has it
        try:
            return (yield)
        finally:
            item.obj = function  # type: ignore[attr-defined]  # the same
    return (yield)


def _closing(function: Callable[..., Awaitable[Any]], clients: Sequence[Any]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(function)
    async def test(*arguments: Any, **named: Any) -> Any:
        try:
            return await function(*arguments, **named)
        finally:
            for client in clients:
                await client.aclose()

    return test

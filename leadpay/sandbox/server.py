"""The pretend bank on a real port: ``async with Sandbox() as bank``."""

import asyncio
from collections.abc import Callable, Iterable
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID

import aiohttp
from aiohttp import web

from leadpay.sandbox import serialization
from leadpay.sandbox.bank import Bank
from leadpay.sandbox.clock import Clock, ManualClock, RealClock
from leadpay.sandbox.constants import SCOPES
from leadpay.sandbox.delivery import TIMEOUT, Attempt, Deliverer, Endpoint
from leadpay.sandbox.faults import Fault, Faults
from leadpay.sandbox.http_api import Answer, Call, HttpApi, answer_with
from leadpay.sandbox.lifecycle import DELAY
from leadpay.sandbox.models import Event
from leadpay.sandbox.problems import ApiProblem
from leadpay.sandbox.scenarios import Outcome
from leadpay.sandbox.tokens import LIFETIME, Tokens

if TYPE_CHECKING:
    from leadpay.client import LeadClient

MAX_BODY: Final = 65_536
"""Largest request body in bytes: some fifty times the largest that an operation needs."""


class Sandbox:
    """A whole bank on a loopback port.

    ::

        async with Sandbox(webhook_url="http://127.0.0.1:8080/webhooks/lead") as bank:
            async with bank.client() as lead:
                await lead.instant_payments.send(...)
            await bank.settled()

    Args:
        host: where to listen.
        port: 0 takes a free one.
        client_id: made up if left out, as the two secrets are.
        client_secret: of the client.
        webhook_url: where webhooks go; more endpoints with :meth:`add_webhook`.
        webhook_secret: what they are signed with.
        delay: seconds between two changes of a payment's state; 0 or more.
        clock: a :class:`~leadpay.sandbox.ManualClock` to move time by hand; the machine's own if left out.
        strict: whether account numbers that nobody opened are refused with 403.
        seed: makes a run repeatable, identifiers and secrets included.
        token_lifetime: seconds.
        scopes: the most that a token can allow.
        faults: what goes wrong, as in ``answer_lost:send:3``; more later with ``bank.faults.add(...)``.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        client_id: str | None = None,
        client_secret: str | None = None,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
        delay: float = DELAY,
        clock: Clock | None = None,
        strict: bool = False,
        seed: int | None = None,
        token_lifetime: float = LIFETIME,
        scopes: frozenset[str] = SCOPES,
        faults: Iterable[Fault | str] = (),
    ) -> None:
        self._random = Random(seed)  # noqa: S311 - a pretend bank's identifiers guard nothing
        self.clock: Clock = clock or RealClock()
        self.client_id = client_id or f"client_{self._new_uuid().hex}"
        self.client_secret = client_secret or f"secret_{self._new_uuid().hex}"
        self.webhook_url = webhook_url
        self.webhook_secret = webhook_secret or f"whsec_{self._new_uuid().hex}"
        self.bank = Bank(
            now=self.clock.now,
            new_uuid=self._new_uuid,
            delay=delay,
            strict=strict,
            wake=self._wake,
            on_event=self._on_event,
        )
        self.tokens = Tokens(
            client_id=self.client_id,
            client_secret=self.client_secret,
            now=self.clock.now,
            new_token=lambda: self._new_uuid().hex,
            lifetime=token_lifetime,
            scopes=scopes,
        )
        # A generator of its own, so that identifiers do not depend on the faults.
        self.faults = Faults(Random(seed).random)  # noqa: S311 - the same
        for fault in faults:
            self.faults.add(fault)
        self.face = HttpApi(self.bank, self.tokens, self.faults)
        self._more: list[Endpoint] = []
        self._host, self._port = host, port
        self._url: str | None = None
        self._pulse = asyncio.Event()
        self._turning = False
        self._timer: asyncio.Task[None] | None = None
        self._timer_due = 0.0
        self._leave_clock: Callable[[], None] = _nothing

    def __repr__(self) -> str:
        return f"Sandbox(url={self._url!r})"

    # What a user needs.

    @property
    def url(self) -> str:
        """The base URL.

        Raises:
            RuntimeError: the sandbox is not running.
        """
        if self._url is None:
            raise RuntimeError("the sandbox is not running: use `async with Sandbox() as bank`")
        return self._url

    @property
    def attempts(self) -> list[Attempt]:
        """Every webhook that was sent, in order."""
        return list(self._deliverer.attempts)

    def add_webhook(self, url: str, secret: str | None = None) -> None:
        """Send webhooks to one more endpoint, signed with a secret of its own or the common one."""
        self._more.append(Endpoint(url, secret or self.webhook_secret))

    def next_payment(self, outcome: Outcome | str, *, direction: str = "outgoing") -> None:
        """Choose what becomes of the next payment; see :meth:`Bank.next_payment`."""
        self.bank.next_payment(outcome, direction=direction)

    def release(self, payment_id: str) -> None:
        """Let a payment that is held go on; see :meth:`Bank.release`."""
        self.bank.release(payment_id)

    def refuse(self, payment_id: str, reason: str = "regulatory_reason") -> None:
        """Have a payment that is held rejected; see :meth:`Bank.refuse`."""
        self.bank.refuse(payment_id, reason)

    def give_back(self, payment_id: str, reason: str = "other", amount: int | None = None) -> None:
        """Have an outgoing payment come back for any reason; see :meth:`Bank.give_back`."""
        self.bank.give_back(payment_id, reason, amount)

    def ask_back(self, payment_id: str, reason: str = "other") -> None:
        """Have an incoming payment asked back for any reason; see :meth:`Bank.ask_back`."""
        self.bank.ask_back(payment_id, reason)

    def client(self, **overrides: Any) -> "LeadClient":
        """A client of this bank; keyword arguments go to ``LeadClient``."""
        # The one import of the SDK proper, and only when asked for: the sandbox itself must not lean on what it judges.
        from leadpay.client import LeadClient  # noqa: PLC0415

        known = {"base_url": self.url, "client_id": self.client_id, "client_secret": self.client_secret}
        return LeadClient(**{**known, **overrides})

    async def settled(self) -> None:
        """Wait until nothing is pending: state changes made, webhooks delivered, or given up for now.

        With a manual clock, what is due at its present moment; otherwise everything but deadlines, redeliveries and
        payments that are held.
        """
        self._turn()
        while self._pending():
            self._pulse.clear()
            await self._pulse.wait()

    # From start to stop.

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        self._deliverer = Deliverer(self.clock, self._session, self._show, self._wake, self.faults)
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None))
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except BaseException:
            await self._runner.cleanup()
            await self._session.close()
            raise
        host, port = self._runner.addresses[0][:2]
        self._url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        if isinstance(self.clock, ManualClock):
            self._leave_clock = self.clock.before_moving(self.settled)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave_clock()
        self._url = None
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)
        await self._deliverer.aclose()
        await self._runner.cleanup()
        await self._session.close()

    # Inside.

    def _new_uuid(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)

    def _show(self, event: Event) -> dict[str, Any]:
        return serialization.event(event, self.bank.retrieve(event.payment_id))

    def _on_event(self, event: Event) -> None:
        own = [Endpoint(self.webhook_url, self.webhook_secret)] if self.webhook_url else []
        for endpoint in (*own, *self._more):
            self._deliverer.announce(event, endpoint)

    def _wake(self) -> None:
        # Later in this turn of the loop, so that an answer is written before what follows from its request.
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turning = False
        if self._url is None:
            return
        now = self.clock.now()
        while self.bank.run_due() + self._deliverer.schedule.run(now):
            pass
        self._arm()
        self._pulse.set()

    def _next_due(self) -> float | None:
        return min(filter(None, (self.bank.next_due, self._deliverer.schedule.next_due)), default=None)

    def _arm(self) -> None:
        due = self._next_due()
        timer = self._timer
        if due is None or (timer is not None and not timer.done() and self._timer_due <= due):
            return
        if timer is not None:
            timer.cancel()
        self._timer_due = due
        self._timer = asyncio.get_running_loop().create_task(self._ring(due))

    async def _ring(self, due: float) -> None:
        await self.clock.sleep(due - self.clock.now())
        self._wake()

    def _pending(self) -> bool:
        if self._turning or self._deliverer.busy:
            return True
        if isinstance(self.clock, ManualClock):
            due = self._next_due()
            return due is not None and due <= self.clock.now()
        return self.bank.schedule.awaited or self._deliverer.schedule.awaited

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await _body(request)
        if body is None:
            refused = ApiProblem(413, "request_too_large", f"A request body has at most {MAX_BODY} bytes.")
            return _response(answer_with(refused.status, refused.body()))
        query = tuple(request.query.items())
        headers = {name.lower(): value for name, value in request.headers.items()}
        since = self.bank.schedule.added
        answer = self.face.answer(Call(request.method, request.path, query, headers, body))
        try:
            return await self._carry(request, answer, since)
        finally:
            self.face.finish(answer)

    async def _carry(self, request: web.BaseRequest, answer: Answer, since: int) -> web.StreamResponse:
        """Bring an answer to the caller, or do to it what its fate says."""
        fate = answer.fate.kind if answer.fate else ""
        if answer.fate and fate == "slow":
            await self.clock.sleep(answer.fate.value)
        elif fate == "webhook_first":
            self.bank.schedule.hurry(since, self.clock.now())
            self._turn()
            while self._deliverer.busy:
                self._pulse.clear()
                await self._pulse.wait()
        elif answer.fate and fate in {"cut_before", "answer_lost", "answer_cut"}:
            _cut(request, answer, int(answer.fate.value) if fate == "answer_cut" else None)
        return _response(answer)


def _cut(request: web.BaseRequest, answer: Answer, length: int | None) -> None:
    """Close the connection, after so many bytes of the body if a length is given."""
    transport = request.transport
    if transport is not None:
        if length is not None:
            head = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
            start = f"HTTP/1.1 {answer.status} OK\r\n{head}Content-Length: {len(answer.body)}\r\n\r\n"
            transport.write(start.encode() + answer.body[:length])
        transport.close()


def _nothing() -> None: ...


async def _body(request: web.BaseRequest) -> bytes | None:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))

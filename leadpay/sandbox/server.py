"""The sandbox on a real port: ``async with Sandbox() as bank``."""

import asyncio
from collections.abc import Callable, Iterable
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID

import aiohttp
from aiohttp import web

from leadpay.sandbox import serialization
from leadpay.sandbox.bank import DELAY, Bank
from leadpay.sandbox.clock import Clock, ManualClock, RealClock
from leadpay.sandbox.connections import ConnectionFaults
from leadpay.sandbox.constants import SCOPES
from leadpay.sandbox.delivery import TIMEOUT, Attempt, Deliverer, Endpoint, Exchange
from leadpay.sandbox.faults import Fault, Faults
from leadpay.sandbox.http_api import HttpApi, Request, Response, problem_response
from leadpay.sandbox.models import Event, Reason
from leadpay.sandbox.problems import ApiProblem, not_found
from leadpay.sandbox.scenarios import Script
from leadpay.sandbox.tokens import LIFETIME, Tokens

if TYPE_CHECKING:
    from leadpay.client import LeadClient

MAX_BODY: Final = 65_536
"""Largest request body in bytes: about fifty times the largest that an operation needs."""


class Sandbox:
    """A bank on a loopback port.

    ::

        async with Sandbox(webhook_url="http://127.0.0.1:8080/webhooks/lead") as bank:
            async with bank.client() as lead:
                await lead.instant_payments.send(...)
            await bank.wait_idle()

    Args:
        host: to listen on.
        port: 0 takes a free one.
        client_id: generated if left out, as the two secrets are.
        client_secret: the client's.
        webhook_url: the endpoint for webhooks; more endpoints with :meth:`add_webhook`.
        webhook_secret: signs the webhooks.
        delay: seconds between two changes of a payment's state; 0 or more.
        clock: a :class:`~leadpay.sandbox.ManualClock` to move time by hand; the machine's own if left out.
        strict: whether account numbers that were not opened are refused with 403.
        seed: makes a run repeatable, identifiers and secrets included.
        token_lifetime: seconds.
        scopes: those that are granted to the client.
        faults: what goes wrong, as in ``response_lost:send:3``; more later with ``bank.faults.add(...)``.
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
        self._random = Random(seed)  # noqa: S311 - the sandbox's identifiers protect nothing
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
            on_timer=self._schedule_run,
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
        # Another generator, so that identifiers do not depend on the faults.
        self.faults = Faults(Random(seed).random)  # noqa: S311 - the same
        for fault in faults:
            self.faults.add(fault)
        self.http_api = HttpApi(self.bank, self.tokens, self.faults)
        self._connections = ConnectionFaults(self._later)
        self._more_endpoints: list[Endpoint] = []
        self._host, self._port = host, port
        self._url: str | None = None
        self._changed = asyncio.Event()
        self._run_scheduled = False
        self._timer: asyncio.Task[None] | None = None
        self._timer_due = 0.0
        self._remove_hook: Callable[[], None] = _nothing

    def __repr__(self) -> str:
        return f"Sandbox(url={self._url!r})"

    # For tests.

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
        """Every attempt to deliver a webhook, in order."""
        return list(self._deliverer.attempts)

    @property
    def last_attempt(self) -> int:
        """The number of the newest attempt to deliver a webhook; 0 before the first."""
        attempts = self._deliverer.attempts
        return attempts[-1].sequence if attempts else 0

    def exchange(self, sequence: int) -> Exchange | None:
        """The request and the response of an attempt, or None once newer ones have taken its place.

        Args:
            sequence: the attempt's number over all attempts of this sandbox.
        """
        return next((one for one in self._deliverer.exchanges if one.attempt.sequence == sequence), None)

    def on_attempt(self, hook: Callable[[Attempt], object]) -> None:
        """Call a function after each attempt to deliver a webhook."""
        self._deliverer.on_attempt.append(hook)

    async def resend(self, event_id: str, url: str | None = None) -> list[Attempt]:
        """Send the webhook of an event again, now, with the newest version of its payment.

        Args:
            event_id: the event's ID.
            url: the only endpoint to send it to; every endpoint if left out. For a URL that is not one of the sandbox's
                endpoints, the webhook is signed with ``webhook_secret``.

        Returns:
            One attempt for each endpoint. A failure is not sent again by itself.

        Raises:
            ApiProblem: 404, there is no such event.
        """
        event = self.bank.events.get(event_id)
        if event is None:
            raise not_found(event_id)
        endpoints = self.endpoints
        if url is not None:
            endpoints = [one for one in endpoints if one.url == url] or [Endpoint(url, self.webhook_secret)]
        return [await self._deliverer.resend(event, endpoint) for endpoint in endpoints]

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where webhooks are sent to."""
        own = [Endpoint(self.webhook_url, self.webhook_secret)] if self.webhook_url else []
        return [*own, *self._more_endpoints]

    def add_webhook(self, url: str, secret: str | None = None) -> None:
        """Send webhooks to one more endpoint, signed with another secret if one is given."""
        self._more_endpoints.append(Endpoint(url, secret or self.webhook_secret))

    def next_payment(self, outcome: Script | str, *, direction: str = "outgoing") -> None:
        """Choose how the next payment ends; see :meth:`Bank.next_payment`."""
        self.bank.next_payment(outcome, direction=direction)

    def release(self, payment_id: str) -> None:
        """Let a payment that is held continue; see :meth:`Bank.release`."""
        self.bank.release(payment_id)

    def refuse(self, payment_id: str, reason: str = "regulatory_reason") -> None:
        """Reject a payment that is held; see :meth:`Bank.refuse`."""
        self.bank.refuse(payment_id, reason)

    def return_payment(self, payment_id: str, reason: str = "other", amount: int | None = None) -> None:
        """Have the counterparty return an outgoing payment, one delay from now.

        Args:
            payment_id: a posted outgoing payment.
            reason: any reason that a return can have; the API takes only those that a client can give.
            amount: cents; all of it if left out.

        Raises:
            ValueError: no return has this reason.
            ApiProblem: the payment cannot be returned, or not by so much.
        """
        self.bank.simulate_return(payment_id, Reason(reason), amount)

    def request_return(self, payment_id: str, reason: str = "other") -> None:
        """Have the counterparty request the return of an incoming payment, one delay from now.

        Args:
            payment_id: a posted incoming payment.
            reason: any reason that a return request can have.

        Raises:
            ValueError: no return request has this reason.
            ApiProblem: a return of the payment cannot be requested.
        """
        self.bank.simulate_return_request(payment_id, Reason(reason))

    def client(self, **overrides: Any) -> "LeadClient":
        """A client of this bank; keyword arguments go to ``LeadClient``."""
        # The one import of the SDK itself, and only on request: the sandbox must not depend on what it judges.
        from leadpay.client import LeadClient  # noqa: PLC0415

        known = {"base_url": self.url, "client_id": self.client_id, "client_secret": self.client_secret}
        return LeadClient(**{**known, **overrides})

    async def wait_idle(self) -> None:
        """Wait until nothing is pending: payments have changed, and webhooks were delivered or have failed.

        With a manual clock, this means what is due at its current time; otherwise everything except deadlines,
        redeliveries and payments that are held.
        """
        self._run_due()
        while self._pending():
            self._changed.clear()
            await self._changed.wait()

    # Start and stop.

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        self._deliverer = Deliverer(self.clock, self._session, self._show, self._schedule_run, self.faults)
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
            self._remove_hook = self.clock.on_advance(self.wait_idle)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove_hook()
        self._url = None
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)
        await self._deliverer.aclose()
        await self._runner.cleanup()
        await self._session.close()

    # Internals.

    def _new_uuid(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)

    def _show(self, event: Event) -> dict[str, Any]:
        return serialization.event(event, self.bank.subject(event))

    def _on_event(self, event: Event) -> None:
        for endpoint in self.endpoints:
            self._deliverer.announce(event, endpoint)

    def _schedule_run(self) -> None:
        # In the loop's next iteration, so that a response is written before its request has consequences.
        if not self._run_scheduled:
            self._run_scheduled = True
            asyncio.get_running_loop().call_soon(self._run_due)

    def _run_due(self) -> None:
        self._run_scheduled = False
        if self._url is None:
            return
        now = self.clock.now()
        while self.bank.run_due() + self._deliverer.timers.run(now):
            pass
        self._start_timer()
        self._changed.set()

    def _next_due(self) -> float | None:
        return min(filter(None, (self.bank.next_due, self._deliverer.timers.next_due)), default=None)

    def _start_timer(self) -> None:
        due = self._next_due()
        timer = self._timer
        if due is None or (timer is not None and not timer.done() and self._timer_due <= due):
            return
        if timer is not None:
            timer.cancel()
        self._timer_due = due
        self._timer = asyncio.get_running_loop().create_task(self._wait_until(due))

    async def _wait_until(self, due: float) -> None:
        await self.clock.sleep(due - self.clock.now())
        self._schedule_run()

    def _pending(self) -> bool:
        if self._run_scheduled or self._deliverer.busy:
            return True
        if isinstance(self.clock, ManualClock):
            due = self._next_due()
            return due is not None and due <= self.clock.now()
        return self.bank.timers.has_foreground or self._deliverer.timers.has_foreground

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await _body(request)
        if body is None:
            problem = ApiProblem(413, "request_too_large", f"A request body has at most {MAX_BODY} bytes.")
            return _web_response(problem_response(problem))
        query = tuple(request.query.items())
        headers = {name.lower(): value for name, value in request.headers.items()}
        first_timer = self.bank.timers.added
        response = self.http_api.respond(Request(request.method, request.path, query, headers, body))
        try:
            return await self._send(request, response, first_timer)
        finally:
            self.http_api.finish(response)

    async def _send(self, request: web.BaseRequest, response: Response, first_timer: int) -> web.StreamResponse:
        """Send a response, with its fault."""
        fault = response.fault.kind if response.fault else ""
        if response.fault and fault == "slow":
            await self.clock.sleep(response.fault.value)
        elif fault == "webhook_first":
            self.bank.timers.run_now(first_timer, self.clock.now())
            self._run_due()
            while self._deliverer.busy:
                self._changed.clear()
                await self._changed.wait()
        return _web_response(self._connections.apply(request.transport, response))

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self.bank.timers.add(self.clock.now() + seconds, action, background=True)
        self._schedule_run()


def _nothing() -> None: ...


async def _body(request: web.BaseRequest) -> bytes | None:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def _web_response(response: Response) -> web.Response:
    return web.Response(status=response.status, body=response.body, headers=dict(response.headers))

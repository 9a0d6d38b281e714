"""The pages of a simulated bank: its payments, its webhooks, its accounts, and what can be made to happen there."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from aiohttp import web

from leadpay.console import search
from leadpay.console.app import Console, Pages, Section, root_of
from leadpay.console.guard import RefusedError, visit
from leadpay.console.render import duration, from_seconds, query_url, words
from leadpay.console.timeline import Entry, Part, countdown, counterparty, entries_of, in_order
from leadpay.converter import structure
from leadpay.errors import InvalidRequestError
from leadpay.masking import fields
from leadpay.models import InstantPayment, cents
from leadpay.sandbox import ManualClock, Sandbox, serialization
from leadpay.sandbox.constants import (
    DIRECTIONS,
    REJECTION_REASONS,
    REQUEST_REASONS,
    RETURN_REASONS,
    RETURN_REQUEST_STATUSES,
    STATUSES,
)
from leadpay.sandbox.delivery import Attempt
from leadpay.sandbox.faults import ANY, DEFAULT_VALUES, KINDS, WEBHOOK, Fault
from leadpay.sandbox.models import IncomingOrder, Party, Payment, Reason
from leadpay.sandbox.operations import OPERATIONS
from leadpay.sandbox.problems import ApiProblem
from leadpay.sandbox.scenarios import POSTED, SCENARIOS, by_name
from leadpay.sandbox.store import Cursor, EventFilter, PaymentFilter

PAGE: Final = 50
"""Rows of a list."""

MAX_EVENTS: Final = 200
"""Events of one payment that are shown: more than its life has."""

MAX_STEP: Final = 366 * 86_400.0
"""Seconds that the clock is turned at once at most: a year."""

UNITS: Final[Mapping[str, float]] = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}

OPERATION_NAMES: Final = (ANY, *sorted(operation.name for operation in OPERATIONS), "token", WEBHOOK)


class BankPages(Pages):
    """The pages.

    Args:
        console: what all pages share.
        sandbox: the bank.
    """

    def __init__(self, console: Console, sandbox: Sandbox) -> None:
        self._console = console
        self._sandbox = sandbox
        group = "Simulated bank"
        self.sections = (
            Section("/bank/payments", "Payments", "payments", group),
            Section("/bank/webhooks", "Webhooks", "webhooks", group),
            Section("/bank/accounts", "Accounts", "accounts", group),
            Section("/bank/controls", "Controls", "controls", group),
        )
        self.sources = (self._revision,)

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        payment = "/bank/payments/{id}"
        return [
            web.get("/bank/payments", self._payments),
            web.get(payment, self._payment),
            web.post(payment, self._payment),
            web.post(payment + "/{action}", self._act),
            web.get("/bank/webhooks", self._webhooks),
            web.get("/bank/webhooks/{number:[0-9]{1,12}}", self._webhook),
            web.post("/bank/webhooks/{number:[0-9]{1,12}}", self._webhook),
            web.post("/bank/webhooks/{number:[0-9]{1,12}}/resend", self._resend),
            web.get("/bank/accounts", self._accounts),
            web.get("/bank/controls", self._controls),
            web.post("/bank/controls/{action}", self._control),
        ]

    async def _revision(self) -> object:
        bank, clock = self._sandbox.bank, self._sandbox.clock
        attempts = self._sandbox.last_attempt
        moved = clock.now() if isinstance(clock, ManualClock) else None
        return bank.payments.revision, bank.events.revision, attempts, moved, self._sandbox.faults.triggered

    # Payments.

    async def _payments(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        wanted = PaymentFilter(
            direction=_chosen(query.get("direction"), DIRECTIONS),
            status=_chosen(query.get("status"), STATUSES),
            return_request_status=_chosen(query.get("return_request"), RETURN_REQUEST_STATUSES),
        )
        sought = search.read(query.get("q", ""))
        payments = self._sandbox.bank.payments
        before = query.get("before")
        cursor = Cursor(limit=PAGE, starting_after=before if before and payments.get(before) else None)

        def matches(record: Payment) -> bool:
            return wanted.matches(record) and (sought is None or sought.matches(_model(record)))

        records, has_more = payments.page(cursor, matches)
        return await self._console.page(
            request,
            "bank_payments.html",
            payments=[_model(record) for record in records],
            counterparty=counterparty,
            chosen=wanted,
            directions=DIRECTIONS,
            statuses=STATUSES,
            request_statuses=RETURN_REQUEST_STATUSES,
            total=len(payments),
            older=_older(request, records[-1].id) if has_more else "",
        )

    async def _payment(self, request: web.Request, *, error: str = "") -> web.StreamResponse:
        record = self._sandbox.bank.payments.get(request.match_info["id"])
        if record is None:
            raise RefusedError(404, "The bank has no payment with this ID.")
        payment, now = _model(record), self._sandbox.clock.now()
        found = [field for field in fields(serialization.payment(record)) if field.text]
        revealed = "" if error else self._console.reveal(found, record.id)
        return await self._console.page(
            request,
            "bank_payment.html",
            status=400 if error else 200,
            payment=payment,
            fields=found,
            revealed=revealed,
            error=error,
            countdown=countdown(payment, now),
            entries=in_order([*entries_of(payment), *self._events(request, record)]),
            is_held=self._sandbox.bank.is_held(record.id),
            return_reasons=RETURN_REASONS,
            request_reasons=REQUEST_REASONS,
            rejection_reasons=tuple(REJECTION_REASONS),
            **({"is_static": True} if revealed or error else {}),
        )

    def _events(self, request: web.Request, record: Payment) -> list[Entry]:
        wanted = EventFilter(object_id=record.id)
        events, _ = self._sandbox.bank.events.page(Cursor(limit=MAX_EVENTS), wanted.matches)
        attempts: dict[str, list[Attempt]] = {event.id: [] for event in events}
        for attempt in self._sandbox.attempts:
            if attempt.event_id in attempts:
                attempts[attempt.event_id].append(attempt)
        root = root_of(request)
        return [
            Entry(
                key=event.id,
                at=event.created_at,
                title=f"Event: {words(event.type)}",
                state=_state_of(event.type),
                parts=[_part(root, attempt) for attempt in attempts[event.id]],
            )
            for event in reversed(events)
        ]

    async def _act(self, request: web.Request) -> web.StreamResponse:
        """Let something happen to a payment."""
        payment_id, action, form = request.match_info["id"], request.match_info["action"], visit().form
        bank, reason = self._sandbox.bank, form.get("reason", "other")
        actions: Mapping[str, Callable[[], None]] = {
            "return": lambda: self._sandbox.return_payment(payment_id, reason, _cents(form.get("amount", ""))),
            "request": partial(self._sandbox.request_return, payment_id, reason),
            "accept": partial(bank.simulate_resolution, payment_id, "accepted"),
            "reject": partial(bank.simulate_resolution, payment_id, "rejected", Reason("other")),
            "release": partial(self._sandbox.release, payment_id),
            "refuse": partial(self._sandbox.refuse, payment_id, reason),
        }
        if action not in actions:
            raise web.HTTPNotFound
        try:
            actions[action]()
        except (ApiProblem, InvalidRequestError, ValueError) as error:
            return await self._payment(request, error=_sentence(error))
        raise web.HTTPSeeOther(f"{root_of(request)}/bank/payments/{payment_id}?done=told")

    # Webhooks.

    async def _webhooks(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        before, only_failed = query.get("before", ""), query.get("result") == "failed"
        found = [
            attempt
            for attempt in reversed(self._sandbox.attempts)
            if (not before.isdecimal() or attempt.sequence < int(before)) and not (only_failed and attempt.accepted)
        ]
        return await self._console.page(
            request,
            "bank_webhooks.html",
            attempts=[(attempt, self._payment_of(attempt)) for attempt in found[:PAGE]],
            endpoints=[endpoint.url for endpoint in self._sandbox.endpoints],
            only_failed=only_failed,
            older=_older(request, found[PAGE - 1].sequence) if len(found) > PAGE else "",
        )

    async def _webhook(self, request: web.Request) -> web.StreamResponse:
        number = int(request.match_info["number"])
        attempt = next((one for one in self._sandbox.attempts if one.sequence == number), None)
        if attempt is None:
            raise RefusedError(404, "There is no attempt with this number.")
        exchange = self._sandbox.exchange(number)
        found = [] if exchange is None else [one for one in fields(json.loads(exchange.request_body)) if one.text]
        revealed = self._console.reveal(found, attempt.event_id)
        return await self._console.page(
            request,
            "bank_webhook.html",
            attempt=attempt,
            payment_id=self._payment_of(attempt),
            exchange=exchange,
            fields=found,
            response="" if exchange is None else exchange.response_body.decode(errors="replace"),
            revealed=revealed,
            others=[
                one for one in self._sandbox.attempts if one.event_id == attempt.event_id and one.url == attempt.url
            ],
            **({"is_static": True} if revealed else {}),
        )

    def _payment_of(self, attempt: Attempt) -> str:
        """The payment that a webhook is about; empty if it is about something else."""
        bank = self._sandbox.bank
        event = bank.events.get(attempt.event_id)
        return event.object_id if event is not None and bank.payments.get(event.object_id) else ""

    async def _resend(self, request: web.Request) -> web.StreamResponse:
        number = int(request.match_info["number"])
        attempt = next((one for one in self._sandbox.attempts if one.sequence == number), None)
        if attempt is None:
            raise RefusedError(404, "There is no attempt with this number.")
        [again] = await self._sandbox.resend(attempt.event_id, attempt.url)
        raise web.HTTPSeeOther(f"{root_of(request)}/bank/webhooks/{again.sequence}?done=resent")

    # Accounts and controls.

    async def _accounts(self, request: web.Request) -> web.StreamResponse:
        return await self._console.page(request, "bank_accounts.html", accounts=self._sandbox.bank.ledger.accounts)

    async def _controls(self, request: web.Request, *, error: str = "") -> web.StreamResponse:
        sandbox, clock = self._sandbox, self._sandbox.clock
        return await self._console.page(
            request,
            "bank_controls.html",
            status=400 if error else 200,
            error=error,
            time=from_seconds(clock.now()),
            is_manual=isinstance(clock, ManualClock),
            next_due=sandbox.bank.next_due,
            scenarios=[POSTED.name, *(scenario.name for scenario in SCENARIOS)],
            incoming_scenarios=[POSTED.name, *(scenario.name for scenario in SCENARIOS if scenario.incoming)],
            reasons=tuple(REJECTION_REASONS),
            chosen=sandbox.bank.chosen,
            faults=sandbox.faults.active,
            triggered=sandbox.faults.triggered,
            kinds=KINDS,
            operations=OPERATION_NAMES,
            units=UNITS,
            form=visit().form,
            **({"is_static": True} if error else {}),
        )

    async def _control(self, request: web.Request) -> web.StreamResponse:
        """Let something happen at the bank."""
        actions = {
            "incoming": self._simulate_incoming,
            "outcome": self._choose_outcome,
            "fault": self._add_fault,
            "clear": self._clear_faults,
            "clock": self._turn_clock,
        }
        action = actions.get(request.match_info["action"])
        if action is None:
            raise web.HTTPNotFound
        try:
            await action(visit().form)
        except (ApiProblem, InvalidRequestError, ValueError) as error:
            return await self._controls(request, error=_sentence(error))
        raise web.HTTPSeeOther(f"{root_of(request)}/bank/controls?done=told")

    async def _simulate_incoming(self, form: Mapping[str, str]) -> None:
        amount = _cents(form.get("amount", ""))
        if amount is None:
            raise ValueError("amount: is missing")
        order = IncomingOrder(
            creditor_account_number_id=form.get("account_number_id", ""),
            amount=amount,
            debtor=Party(form.get("name", ""), form.get("account_number", "")),
            debtor_agent=form.get("routing_number", ""),
        )
        self._sandbox.bank.simulate_incoming(order)

    async def _choose_outcome(self, form: Mapping[str, str]) -> None:
        name, reason = form.get("outcome", ""), form.get("reason", "")
        try:
            outcome = by_name(name)
        except ValueError:
            outcome = by_name(f"{name}:{reason}")
        self._sandbox.next_payment(outcome, direction=form.get("direction", ""))

    async def _add_fault(self, form: Mapping[str, str]) -> None:
        kind, times, value = form.get("kind", ""), form.get("times", ""), form.get("value", "")
        self._sandbox.faults.add(
            Fault(
                kind=kind,
                operation=form.get("operation", ANY),
                times=int(times) if times else None,
                value=float(value) if value else DEFAULT_VALUES.get(kind, 0),
            )
        )

    async def _clear_faults(self, _: Mapping[str, str]) -> None:
        self._sandbox.faults.clear()

    async def _turn_clock(self, form: Mapping[str, str]) -> None:
        clock = self._sandbox.clock
        if not isinstance(clock, ManualClock):
            raise ValueError("clock: is real; start the sandbox with --clock manual")  # noqa: TRY004 - what a person typed
        seconds = float(form.get("amount", "")) * UNITS[form.get("unit", "seconds")]
        if not 0 <= seconds <= MAX_STEP:
            raise ValueError("clock: turn it forward, by a year at most")
        await clock.advance(seconds)


def _model(record: Payment) -> InstantPayment:
    return structure(serialization.payment(record), InstantPayment)


def _chosen(value: str | None, known: tuple[str, ...]) -> str | None:
    return value if value in known else None


def _older(request: web.Request, last: object) -> str:
    return query_url(request.path, {**request.query, "before": last, "done": None})


def _state_of(event_type: str) -> str:
    name = event_type.rpartition(".")[2]
    return name if name in STATUSES else "response_needed" if name.endswith("response_needed") else ""


def _part(root: str, attempt: Attempt) -> Part:
    state = "accepted" if attempt.accepted else "failed"
    note = f"{attempt.status or 'no response'} in {duration(attempt.seconds)}"
    return Part(
        title=f"Webhook, attempt {attempt.number}",
        state=state,
        note=note,
        url=f"{root}/bank/webhooks/{attempt.sequence}",
        at=from_seconds(attempt.at),
    )


def _cents(text: str) -> int | None:
    return cents(text.strip().removeprefix("$").replace(",", "")) if text.strip() else None


def _sentence(error: Exception) -> str:
    """One sentence without what the person typed."""
    if isinstance(error, ApiProblem):
        return error.detail
    if isinstance(error, InvalidRequestError):
        return "The amount must be dollars, such as 19.99."
    known = str(error).partition(":")
    return str(error) if known[1] and "'" not in str(error) else "A value cannot be read."

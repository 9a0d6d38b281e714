"""The simulated bank: accounts, payments and events in memory, and how payments change with time. Pure.

Time and identifiers are passed in (``now``, ``new_uuid``), and so is what to call (``on_timer``, ``on_event``). The
caller has the clock, and calls :meth:`Bank.run_due` at the time that :attr:`Bank.next_due` gives.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import attrs

from leadpay.sandbox import scenarios, transitions
from leadpay.sandbox.account_numbers import AccountNumbers
from leadpay.sandbox.business_days import incoming_deadline
from leadpay.sandbox.constants import REJECTION_REASONS, REQUEST_REASONS, RETURN_REASONS
from leadpay.sandbox.ledger import HOME_ROUTING_NUMBER, Ledger
from leadpay.sandbox.models import (
    Account,
    AccountNumber,
    Event,
    IncomingOrder,
    Payment,
    PaymentOrder,
    Reason,
    Rejection,
    utc_datetime,
)
from leadpay.sandbox.problems import ApiProblem, not_allowed, not_found
from leadpay.sandbox.scenarios import Choices, Script, Step
from leadpay.sandbox.store import Collection
from leadpay.sandbox.timers import Timers

DELAY: Final = 0.05
"""Seconds between two changes of a payment's state unless set: long enough to see each, short enough to wait for."""

_INCOMING_STEPS: Final = frozenset({"review", "hold", "post", "reject"})
"""The steps of an outcome that an incoming payment takes: it has no counterparty after it has posted."""


def _ignore(*_: object) -> None: ...


class Bank:
    """What the API, the simulations and a test can do to payments.

    Args:
        now: the time in seconds since 1970.
        new_uuid: makes a new version 4 UUID; every identifier comes from it.
        delay: seconds between two changes of a payment's state; 0 or more.
        strict: whether account numbers that were not opened are refused.
        on_timer: called when a timer was added, which may change ``next_due``.
        on_event: called with each new event.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float],
        new_uuid: Callable[[], UUID],
        delay: float = DELAY,
        strict: bool = False,
        on_timer: Callable[[], object] = _ignore,
        on_event: Callable[[Event], object] = _ignore,
    ) -> None:
        self.ledger = Ledger(strict=strict)
        self.account_numbers = AccountNumbers(self.ledger, self._now, self._new_id, self._tell)
        self.payments: Collection[Payment] = Collection()
        self.events: Collection[Event] = Collection()
        self.timers = Timers()
        self.delay = delay
        self._seconds = now
        self._new_uuid = new_uuid
        self._on_timer = on_timer
        self._on_event = on_event
        self._steps: dict[str, tuple[Step, ...]] = {}
        self._choices = Choices()

    # Time.

    @property
    def next_due(self) -> float | None:
        """When something happens next, in seconds since 1970."""
        return self.timers.next_due

    def run_due(self) -> int:
        """Do everything that is due; returns how many things that was."""
        return self.timers.run(self._seconds())

    def now(self) -> float:
        """The current time in seconds since 1970."""
        return self._seconds()

    def _now(self) -> datetime:
        return utc_datetime(self._seconds())

    def _later(self, action: Callable[[], object], *, delay: float | None = None) -> None:
        self.timers.add(self._seconds() + (self.delay if delay is None else delay), action)
        self._on_timer()

    # The API.

    def retrieve(self, payment_id: str) -> Payment:
        """The newest version of a payment.

        Raises:
            ApiProblem: 404, there is none.
        """
        payment = self.payments.get(payment_id)
        if payment is None:
            raise not_found(payment_id)
        return payment

    def subject(self, event: Event) -> Payment | AccountNumber:
        """The newest version of the object that an event is about."""
        return self.payments.get(event.object_id) or self.account_numbers.get(event.object_id)

    def check_availability(self, routing_number: str) -> bool:
        """Whether a bank can receive instant payments.

        Raises:
            ApiProblem: 422, the number is invalid.
        """
        if routing_number == scenarios.INVALID_ROUTING_NUMBER:
            raise ApiProblem(422, "routing_number_invalid", "The routing number is invalid.")
        return routing_number not in scenarios.ROUTING_NUMBERS

    def send(self, order: PaymentOrder) -> Payment:
        """Make an outgoing payment.

        Raises:
            ApiProblem: 403, the account number was not opened (at a strict bank); 422, it is not active, or its
                controls do not admit the creditor.
        """
        account = self.ledger.find(order.account_number_id)
        self.account_numbers.check_sending(account, order.creditor, order.creditor_agent)
        outcome = scenarios.of_outgoing(order.creditor.account_number, order.creditor_agent)
        payment = attrs.evolve(
            self._new_payment(account, "outgoing", order.amount),
            creditor=order.creditor,
            creditor_agent=order.creditor_agent,
            description=order.description,
        )
        return self._start(payment, outcome)

    def cancel(self, payment_id: str) -> Payment:
        """Cancel an outgoing payment that has not been submitted; no event is emitted.

        Raises:
            ApiProblem: 404; or see :func:`transitions.check_cancel`.
        """
        payment = self.retrieve(payment_id)
        transitions.check_cancel(payment)
        self._steps.pop(payment_id, None)
        return self._update(payment, status="canceled")

    def return_payment(self, payment_id: str, why: Reason) -> Payment:
        """Make an outgoing payment that returns an incoming one.

        An active return request is accepted once Lead has validated the return: at its first change of state.

        Raises:
            ApiProblem: 404; 422, the account number is not active; or see :func:`transitions.check_return`.
        """
        original = self.retrieve(payment_id)
        transitions.check_return(original, self._returned(original))
        self.account_numbers.check_active(original.account)
        payment = attrs.evolve(
            self._new_payment(original.account, "outgoing", original.amount),
            creditor=original.debtor,
            creditor_agent=original.debtor_agent,
            return_=why,
            original_payment_id=payment_id,
        )
        self._link(original, payment)
        return self._start(payment, scenarios.of_outgoing(original.debtor.account_number, original.debtor_agent))

    def request_return(self, payment_id: str, why: Reason) -> Payment:
        """Request of the counterparty that it return an outgoing payment.

        Raises:
            ApiProblem: 404; or see :func:`transitions.check_outgoing_request`.
        """
        payment = self.retrieve(payment_id)
        transitions.check_outgoing_request(payment, self._returned(payment))
        request = transitions.outgoing_request(why, self._now())
        changed = self._update(payment, return_requests=(*payment.return_requests, request))
        self._expire_at(request.deadline, changed)
        return changed

    def reject_return_request(self, payment_id: str, why: Reason) -> Payment:
        """Reject the active return request of an incoming payment.

        Raises:
            ApiProblem: 404; or see :func:`transitions.check_request_rejection`.
        """
        payment = self.retrieve(payment_id)
        transitions.check_request_rejection(payment, self._returned(payment))
        return self._resolve(payment, "rejected", "client", why)

    # The counterparty, simulated.

    def simulate_incoming(self, order: IncomingOrder) -> None:
        """Receive a payment, one delay from now.

        Raises:
            ApiProblem: 422, the account number was not opened (at a strict bank).
        """
        try:
            account = self.ledger.find(order.creditor_account_number_id)
        except ApiProblem as refused:
            # The bank's description of the simulation has no 403.
            raise not_allowed(order.creditor_account_number_id, refused.detail) from None
        payment = attrs.evolve(
            self._new_payment(account, "incoming", order.amount),
            debtor=order.debtor,
            debtor_agent=order.debtor_agent,
            description=order.description,
        )
        if order.end_to_end_id is not None:
            payment = attrs.evolve(payment, end_to_end_id=order.end_to_end_id)
        self._later(partial(self._receive, payment, scenarios.of_incoming(order.debtor.account_number)))

    def simulate_return(self, payment_id: str, why: Reason, amount: int | None = None) -> None:
        """The counterparty returns an outgoing payment, in whole or in part, one delay from now.

        Args:
            payment_id: the outgoing payment.
            why: with any reason that a return can have.
            amount: cents; all of it if left out.

        Raises:
            ApiProblem: 404; or see :func:`transitions.check_incoming_return`.
            ValueError: no return has this reason.
        """
        if why.reason not in RETURN_REASONS:
            raise ValueError("reason: is not a reason of a return")
        payment = self.retrieve(payment_id)
        amount = payment.amount if amount is None else amount
        transitions.check_incoming_return(payment, amount, self._returned(payment))
        self._later(partial(self._receive_return, payment_id, amount, why))

    def simulate_return_request(self, payment_id: str, why: Reason) -> None:
        """The counterparty requests the return of an incoming payment, one delay from now.

        Args:
            payment_id: the incoming payment.
            why: with any reason that a return request can have.

        Raises:
            ApiProblem: 404; or see :func:`transitions.check_incoming_request`.
            ValueError: no return request has this reason.
        """
        if why.reason not in REQUEST_REASONS:
            raise ValueError("reason: is not a reason of a return request")
        payment = self.retrieve(payment_id)
        transitions.check_incoming_request(payment, self._returned(payment))
        self._later(partial(self._receive_return_request, payment_id, why))

    def simulate_resolution(self, payment_id: str, status: str, why: Reason | None = None) -> None:
        """The counterparty accepts or rejects our return request, one delay from now.

        Args:
            payment_id: the outgoing payment whose return was requested.
            status: ``accepted`` or ``rejected``. Funds move by a return of its own, not by an acceptance.
            why: the reason of a rejection.

        Raises:
            ApiProblem: 404; or see :func:`transitions.check_resolution`.
        """
        transitions.check_resolution(self.retrieve(payment_id))
        self._later(partial(self._resolve_by_counterparty, payment_id, status, why))

    # Control by a test.

    def next_payment(self, outcome: Script | str, *, direction: str = "outgoing") -> None:
        """Choose how the next payment (or return) ends; several calls queue up.

        Args:
            outcome: one of :func:`leadpay.sandbox.describe`'s names, such as ``returned:account_closed``.
            direction: ``outgoing`` or ``incoming``.

        Raises:
            ValueError: there is no such outcome or direction.
        """
        self._choices.add(outcome, direction)

    @property
    def chosen(self) -> dict[str, tuple[str, ...]]:
        """The names of the outcomes that were chosen for the next payments, by direction."""
        return self._choices.names()

    def is_held(self, payment_id: str) -> bool:
        """Whether a payment waits for :meth:`release` or :meth:`refuse`."""
        return self._steps.get(payment_id, ())[:1] == (scenarios.HOLD,)

    def release(self, payment_id: str) -> None:
        """Let a payment that is held continue, at once.

        Raises:
            ValueError: it is not held.
        """
        self._steps[payment_id] = self._held_steps(payment_id)
        self._later(partial(self._run_next_step, payment_id), delay=0)

    def refuse(self, payment_id: str, reason: str = "regulatory_reason") -> None:
        """Reject a payment that is held, at once: as Lead, or as the counterparty if that holds it.

        Raises:
            ValueError: it is not held, or the reason is unknown.
        """
        self._held_steps(payment_id)
        if reason not in REJECTION_REASONS:
            raise ValueError("reason: is not a rejection reason")
        if self.retrieve(payment_id).status == "posted":
            self._steps[payment_id] = (scenarios.counterparty_reject(reason), scenarios.RETURN)
        else:
            self._steps[payment_id] = (scenarios.reject("lead", reason),)
        self._later(partial(self._run_next_step, payment_id), delay=0)

    # Payments, step by step.

    def _new_payment(self, account: Account, direction: str, amount: int) -> Payment:
        """A payment whose counterparty is not yet set: it is the account's own holder."""
        now = self._now()
        outgoing = direction == "outgoing"
        return Payment(
            id=self._new_id("instant_payment"),
            account=account,
            direction=direction,
            # An incoming payment is stored when it takes its first step, which sets the status.
            status="created" if outgoing else "under_review",
            amount=amount,
            debtor=account.holder,
            debtor_agent=HOME_ROUTING_NUMBER,
            creditor=account.holder,
            creditor_agent=HOME_ROUTING_NUMBER,
            end_to_end_id=self._new_uuid().hex,
            uetr=str(self._new_uuid()),
            transaction_id=f"TXN{self._new_uuid().hex}" if outgoing else None,
            created_at=now,
            updated_at=now,
        )

    def _new_id(self, kind: str) -> str:
        return f"{kind}_{self._new_uuid().hex}"

    def _start(self, payment: Payment, default: Script) -> Payment:
        self._steps[payment.id] = self._choices.take("outgoing", default).steps
        self.payments.put(payment)
        self._schedule_next_step(payment.id)
        return payment

    def _receive(self, payment: Payment, default: Script) -> None:
        now = self._now()
        payment = attrs.evolve(payment, created_at=now, updated_at=now)
        steps = self._choices.take("incoming", default).steps
        reason = self.account_numbers.reason_to_reject(
            payment.account, payment.debtor, payment.debtor_agent, is_return=payment.return_ is not None
        )
        if reason is not None:
            steps = (scenarios.reject("lead", reason),)
        self.payments.put(payment)
        self._steps[payment.id] = tuple(step for step in steps if step.kind in _INCOMING_STEPS)
        self._run_next_step(payment.id)

    def _schedule_next_step(self, payment_id: str) -> None:
        steps = self._steps.get(payment_id)
        if not steps:
            self._steps.pop(payment_id, None)
        elif steps[0] != scenarios.HOLD:
            self._later(partial(self._run_next_step, payment_id))

    def _held_steps(self, payment_id: str) -> tuple[Step, ...]:
        """The steps of a payment after the one that holds it."""
        steps = self._steps.get(payment_id)
        if not steps or steps[0] != scenarios.HOLD:
            raise ValueError("payment_id: this payment is not held")
        return steps[1:]

    def _run_next_step(self, payment_id: str) -> None:
        steps = self._steps.get(payment_id)
        if steps:
            self._steps[payment_id] = steps[1:]
            self._run_step(self.retrieve(payment_id), steps[0])
            self._schedule_next_step(payment_id)

    def _run_step(self, payment: Payment, step: Step) -> None:
        if payment.original_payment_id is not None and payment.status == "created" and step.rejected_by != "lead":
            self._accept_request(payment.original_payment_id)
        if step.kind == "review":
            self._emit("under_review", self._update(payment, status="under_review"))
        elif step.kind == "post":
            self._post(payment)
        elif step.kind == "reject":
            self._reject(payment, step)
        elif step.kind == "counterparty_status":
            rejection = _rejection(step) if step.rejected_by else None
            changed = self._update(payment, counterparty_status=step.counterparty_status, rejection=rejection)
            self._emit("counterparty_status_updated", changed)
        else:
            self._receive_return(payment.id, payment.amount, Reason("other", "The payment could not be credited"))

    def _post(self, payment: Payment) -> None:
        outgoing = payment.direction == "outgoing"
        if not self.account_numbers.is_active(payment.account):
            self._reject(payment, scenarios.reject("lead", "account_number_incorrect"))
            return
        if outgoing and not self.ledger.covers(payment.account, payment.amount):
            self._reject(payment, scenarios.reject("lead", "non_sufficient_funds"))
            return
        self.ledger.post(payment.account, -payment.amount if outgoing else payment.amount)
        # The bank's description: the counterparty status of an incoming payment is posted, or null before.
        there = None if outgoing else "posted"
        self._emit("posted", self._update(payment, status="posted", counterparty_status=there))

    def _reject(self, payment: Payment, step: Step) -> None:
        self._steps.pop(payment.id, None)
        self._emit("rejected", self._update(payment, status="rejected", rejection=_rejection(step)))

    # Returns and return requests.

    def _returned(self, payment: Payment) -> int:
        """How many cents were returned or are being returned; 1 for the return of a payment of 0 cents."""
        returns = [self.retrieve(payment_id) for payment_id in payment.return_payment_ids]
        return sum(one.amount or 1 for one in returns if one.is_effective)

    def _link(self, original: Payment, payment: Payment) -> None:
        self._update(original, return_payment_ids=(*original.return_payment_ids, payment.id))

    def _receive_return(self, payment_id: str, amount: int, why: Reason) -> None:
        original = self.retrieve(payment_id)
        if amount > original.amount - self._returned(original):
            return  # another return was faster
        payment = attrs.evolve(
            self._new_payment(original.account, "incoming", amount),
            debtor=original.creditor,
            debtor_agent=original.creditor_agent,
            return_=why,
            original_payment_id=payment_id,
        )
        self._link(original, payment)
        self._receive(payment, scenarios.POSTED)

    def _receive_return_request(self, payment_id: str, why: Reason) -> None:
        payment = self.retrieve(payment_id)
        try:
            transitions.check_incoming_request(payment, self._returned(payment))
        except ApiProblem:
            return  # another request, or a return, was faster
        request = transitions.incoming_request(why, self._now())
        changed = self._update(payment, return_requests=(*payment.return_requests, request))
        self._emit("return_request_response_needed", changed)
        self._expire_at(incoming_deadline(request.created_at).rejected_at, changed)

    def _expire_at(self, time: datetime, payment: Payment) -> None:
        expire = partial(self._expire_request, payment.id, len(payment.return_requests))
        self.timers.add(time.timestamp(), expire, background=True)
        self._on_timer()

    def _expire_request(self, payment_id: str, number: int) -> None:
        """Reject a request that is still open: as Lead for the client, or as the network for the counterparty.

        The bank's pages say so of an incoming request. Of ours, they only say that the network has a deadline.
        """
        payment = self.retrieve(payment_id)
        if payment.active_request is None or len(payment.return_requests) != number:
            return
        outgoing = payment.direction == "outgoing"
        why = Reason("customer_no_response", "No response in time")
        changed = self._resolve(payment, "rejected", "network" if outgoing else "lead", why)
        if outgoing:
            self._emit("return_request_status_updated", changed)

    def _accept_request(self, payment_id: str) -> None:
        original = self.retrieve(payment_id)
        if original.direction == "incoming" and original.active_request is not None:
            self._resolve(original, "accepted", "client")

    def _resolve_by_counterparty(self, payment_id: str, status: str, why: Reason | None) -> None:
        payment = self.retrieve(payment_id)
        if payment.active_request is not None:
            self._emit("return_request_status_updated", self._resolve(payment, status, "counterparty", why))

    def _resolve(self, payment: Payment, status: str, by: str, why: Reason | None = None) -> Payment:
        requests = transitions.resolved(payment.return_requests, status, by, self._now(), why)
        return self._update(payment, return_requests=requests)

    def _update(self, payment: Payment, **changes: Any) -> Payment:
        changed = attrs.evolve(payment, updated_at=self._now(), **changes)
        self.payments.put(changed)
        return changed

    def _emit(self, name: str, payment: Payment) -> None:
        self._tell(f"instant_payment.{name}", payment.id)

    def _tell(self, event_type: str, object_id: str) -> None:
        event = Event(self._new_id("event"), event_type, object_id, self._now())
        self.events.put(event)
        self._on_event(event)


def _rejection(step: Step) -> Rejection:
    return Rejection(step.rejected_by, step.reason, REJECTION_REASONS[step.reason])

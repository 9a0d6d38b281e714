"""How a payment lives: its moves, its return requests, the events that tell of them. Pure."""

from collections import deque
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import attrs

from leadpay.sandbox import scenarios
from leadpay.sandbox.business_days import incoming_deadline
from leadpay.sandbox.constants import REJECTION_REASONS
from leadpay.sandbox.ledger import HOME_ROUTING_NUMBER, Ledger
from leadpay.sandbox.models import Account, Event, Payment, Rejection, Resolution, ReturnDetails, ReturnRequest, moment
from leadpay.sandbox.orders import Reason
from leadpay.sandbox.problems import ApiProblem, impossible, not_found
from leadpay.sandbox.scenarios import Outcome, Step
from leadpay.sandbox.store import Collection
from leadpay.sandbox.timers import Schedule

DELAY: Final = 0.05
"""Seconds between two changes of a payment's state unless told: long enough to see each, too short to wait for."""


def _ignore(*_: object) -> None: ...


class Lifecycle:
    """Payments in memory, and what becomes of them; :class:`~leadpay.sandbox.bank.Bank` is what is asked of it.

    Args:
        now: tells the time in seconds since 1970.
        new_uuid: makes a version 4 UUID that nobody had before; every identifier comes from it.
        delay: seconds between two changes of a payment's state; 0 or more.
        strict: whether account numbers that nobody opened are refused.
        wake: called when something new is due; see :attr:`next_due`.
        on_event: called with each new event.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float],
        new_uuid: Callable[[], UUID],
        delay: float = DELAY,
        strict: bool = False,
        wake: Callable[[], object] = _ignore,
        on_event: Callable[[Event], object] = _ignore,
    ) -> None:
        self.ledger = Ledger(strict=strict)
        self.payments: Collection[Payment] = Collection()
        self.events: Collection[Event] = Collection()
        self.schedule = Schedule()
        self.delay = delay
        self._seconds = now
        self._new_uuid = new_uuid
        self._wake = wake
        self._on_event = on_event
        self._plans: dict[str, tuple[Step, ...]] = {}
        self._wishes: dict[str, deque[Outcome]] = {"outgoing": deque(), "incoming": deque()}

    def retrieve(self, payment_id: str) -> Payment:
        """The newest version of a payment.

        Raises:
            ApiProblem: 404, there is none.
        """
        payment = self.payments.get(payment_id)
        if payment is None:
            raise not_found(payment_id)
        return payment

    # Time.

    @property
    def next_due(self) -> float | None:
        """When something happens next, in seconds since 1970."""
        return self.schedule.next_due

    def run_due(self) -> int:
        """Do everything that is due; how much that was."""
        return self.schedule.run(self._seconds())

    def now(self) -> float:
        """The present moment in seconds since 1970."""
        return self._seconds()

    def _now(self) -> datetime:
        return moment(self._seconds())

    def _later(self, action: Callable[[], object], *, delay: float | None = None) -> None:
        self.schedule.add(self._seconds() + (self.delay if delay is None else delay), action)
        self._wake()

    # The moves of a payment.

    def _draft(self, account: Account, direction: str, amount: int) -> Payment:
        """A payment whose far side is still the account's own holder."""
        now = self._now()
        outgoing = direction == "outgoing"
        return Payment(
            id=self._new_id("instant_payment"),
            account=account,
            direction=direction,
            # An incoming payment is seen only after its first move, which happens as it is made.
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

    def _begin(self, payment: Payment, chosen: Outcome) -> Payment:
        wishes = self._wishes[payment.direction]
        self._plans[payment.id] = (wishes.popleft() if wishes else chosen).moves
        self.payments.put(payment)
        self._continue(payment.id)
        return payment

    def _receive(self, payment: Payment, chosen: Outcome) -> None:
        now = self._now()
        payment = attrs.evolve(payment, created_at=now, updated_at=now)
        wishes = self._wishes["incoming"]
        moves = (wishes.popleft() if wishes else chosen).moves
        self.payments.put(payment)
        # What happens at the counterparty after posting is no part of an incoming payment's life.
        self._plans[payment.id] = tuple(move for move in moves if move.kind in {"review", "hold", "post", "reject"})
        self._advance(payment.id)

    def _continue(self, payment_id: str) -> None:
        plan = self._plans.get(payment_id)
        if not plan:
            self._plans.pop(payment_id, None)
        elif plan[0] != scenarios.HOLD:
            self._later(partial(self._advance, payment_id))

    def _held(self, payment_id: str) -> tuple[Step, ...]:
        plan = self._plans.get(payment_id)
        if not plan or plan[0] != scenarios.HOLD:
            raise ValueError("payment_id: this payment is not held")
        return plan[1:]

    def _advance(self, payment_id: str) -> None:
        plan = self._plans.get(payment_id)
        if plan:
            self._plans[payment_id] = plan[1:]
            self._make(self.retrieve(payment_id), plan[0])
            self._continue(payment_id)

    def _make(self, payment: Payment, move: Step) -> None:
        if payment.original_payment_id is not None and payment.status == "created" and move.word != "lead":
            self._accept_by_return(payment.original_payment_id)
        if move.kind == "review":
            self._tell("under_review", self._change(payment, status="under_review"))
        elif move.kind == "post":
            self._post(payment)
        elif move.kind == "reject":
            self._reject(payment, move)
        elif move.kind == "counterparty":
            rejection = _rejection("counterparty", move.reason) if move.word == "rejected" else None
            changed = self._change(payment, counterparty_status=move.word, rejection=rejection)
            self._tell("counterparty_status_updated", changed)
        else:
            self._give_back(payment.id, payment.amount, ReturnDetails("other", "The payment could not be credited"))

    def _post(self, payment: Payment) -> None:
        outgoing = payment.direction == "outgoing"
        if outgoing and not self.ledger.covers(payment.account, payment.amount):
            self._reject(payment, Step("reject", "lead", "non_sufficient_funds"))
            return
        self.ledger.move(payment.account, -payment.amount if outgoing else payment.amount)
        self._tell("posted", self._change(payment, status="posted"))

    def _reject(self, payment: Payment, move: Step) -> None:
        self._plans.pop(payment.id, None)
        self._tell("rejected", self._change(payment, status="rejected", rejection=_rejection(move.word, move.reason)))

    # Returns and return requests.

    def _given_back(self, payment: Payment) -> int:
        """How many cents of a payment came back, or are on their way; 1 for the return of a payment of nothing."""
        returns = [self.retrieve(payment_id) for payment_id in payment.return_payment_ids]
        return sum(back.amount or 1 for back in returns if back.holds)

    def _link(self, original: Payment, back: Payment) -> None:
        self._change(original, return_payment_ids=(*original.return_payment_ids, back.id))

    def _give_back(self, payment_id: str, amount: int, why: ReturnDetails) -> None:
        original = self.retrieve(payment_id)
        if amount > original.amount - self._given_back(original):
            return  # another return was quicker
        payment = attrs.evolve(
            self._draft(original.account, "incoming", amount),
            debtor=original.creditor,
            debtor_agent=original.creditor_agent,
            return_=why,
            original_payment_id=payment_id,
        )
        self._link(original, payment)
        self._receive(payment, scenarios.POSTED)

    def _requestable(self, payment: Payment) -> None:
        if payment.direction != "incoming" or payment.status != "posted" or payment.return_ is not None:
            raise impossible(payment.id, "Only a posted incoming payment that is no return can be asked back.")
        if payment.active_request is not None or self._given_back(payment):
            raise impossible(payment.id, "A return request is active, or the payment has been returned.")

    def _ask_back(self, payment_id: str, why: Reason) -> None:
        payment = self.retrieve(payment_id)
        try:
            self._requestable(payment)
        except ApiProblem:
            return  # another request, or a return, was quicker
        now = self._now()
        deadline = incoming_deadline(now)
        request = ReturnRequest(
            status="response_needed",
            reason=why.reason,
            details=why.additional_information,
            created_at=now,
            deadline=deadline.answer_by,
        )
        changed = self._change(payment, return_requests=(*payment.return_requests, request))
        self._tell("return_request_response_needed", changed)
        number = len(changed.return_requests)
        overdue = partial(self._overdue, payment_id, number)
        self.schedule.add(deadline.rejected_at.timestamp(), overdue, background=True)
        self._wake()

    def _overdue(self, payment_id: str, number: int) -> None:
        payment = self.retrieve(payment_id)
        if payment.active_request is not None and len(payment.return_requests) == number:
            self._resolve(payment, "rejected", "lead", Reason("customer_no_response", "Nobody answered in time"))

    def _accept_by_return(self, payment_id: str) -> None:
        original = self.retrieve(payment_id)
        if original.direction == "incoming" and original.active_request is not None:
            self._resolve(original, "accepted", "client")

    def _answer(self, payment_id: str, status: str, why: Reason | None) -> None:
        payment = self.retrieve(payment_id)
        if payment.active_request is not None:
            self._tell("return_request_status_updated", self._resolve(payment, status, "counterparty", why))

    def _resolve(self, payment: Payment, status: str, by: str, why: Reason | None = None) -> Payment:
        resolution = Resolution(
            resolved_at=self._now(),
            resolved_by=by,
            rejection_reason=None if why is None else why.reason,
            rejection_details=None if why is None else why.additional_information,
        )
        *before, active = payment.return_requests
        resolved = attrs.evolve(active, status=status, resolution=resolution)
        return self._change(payment, return_requests=(*before, resolved))

    def _change(self, payment: Payment, **changes: Any) -> Payment:
        changed = attrs.evolve(payment, updated_at=self._now(), **changes)
        self.payments.put(changed)
        return changed

    def _tell(self, word: str, payment: Payment) -> None:
        event = Event(self._new_id("event"), f"instant_payment.{word}", payment.id, self._now())
        self.events.put(event)
        self._on_event(event)


def _rejection(by: str, reason: str) -> Rejection:
    return Rejection(by, reason, REJECTION_REASONS[reason])

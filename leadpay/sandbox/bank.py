"""The pretend bank's state machine: payments, return requests, and what becomes of them. Pure.

Time, identifiers and the wish to be told come from outside: ``now``, ``new_uuid``, ``wake`` and ``on_event``. Whoever
holds a clock calls :meth:`Bank.run_due` when :attr:`Bank.next_due` says so.
"""

from collections import deque
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import attrs

from leadpay.sandbox import outcomes
from leadpay.sandbox.calendar import incoming_deadline, outgoing_deadline
from leadpay.sandbox.journal import Shelf
from leadpay.sandbox.ledger import HOME_ROUTING_NUMBER, Ledger
from leadpay.sandbox.orders import Arrival, Order, Reason
from leadpay.sandbox.outcomes import Move, Outcome
from leadpay.sandbox.records import Account, Event, Payment, Rejection, Resolution, ReturnDetails, ReturnRequest, moment
from leadpay.sandbox.refusals import Refused, impossible, not_found
from leadpay.sandbox.schedule import Schedule
from leadpay.sandbox.words import REJECTION_REASONS

DELAY: Final = 0.05
"""Seconds between two changes of a payment's state unless told: long enough to see each, too short to wait for."""


def _ignore(*_: object) -> None: ...


class Bank:
    """Accounts, payments and events in memory.

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
        self.payments: Shelf[Payment] = Shelf()
        self.events: Shelf[Event] = Shelf()
        self.schedule = Schedule()
        self.delay = delay
        self._seconds = now
        self._new_uuid = new_uuid
        self._wake = wake
        self._on_event = on_event
        self._plans: dict[str, tuple[Move, ...]] = {}
        self._wishes: dict[str, deque[Outcome]] = {"outgoing": deque(), "incoming": deque()}

    # What the client asks for.

    def check_availability(self, routing_number: str) -> bool:
        """Whether a bank can be paid instantly.

        Raises:
            Refused: 422, the number is invalid.
        """
        if routing_number == outcomes.INVALID_ROUTING_NUMBER:
            raise Refused(422, "routing_number_invalid", "The routing number is invalid.")
        return routing_number not in outcomes.ROUTING_NUMBERS

    def send(self, order: Order) -> Payment:
        """Make an outgoing payment.

        Raises:
            Refused: 403, the account number is not the client's (where the bank is strict).
        """
        account = self.ledger.find(order.account_number_id)
        chosen = outcomes.of_outgoing(order.creditor.account_number, order.creditor_agent)
        payment = attrs.evolve(
            self._draft(account, "outgoing", order.amount),
            creditor=order.creditor,
            creditor_agent=order.creditor_agent,
            description=order.description,
        )
        return self._begin(payment, chosen)

    def retrieve(self, payment_id: str) -> Payment:
        """The newest version of a payment.

        Raises:
            Refused: 404, there is none.
        """
        payment = self.payments.get(payment_id)
        if payment is None:
            raise not_found(payment_id)
        return payment

    def cancel(self, payment_id: str) -> Payment:
        """Cancel an outgoing payment that has not been submitted; no event tells of it.

        Raises:
            Refused: 404; 400, it is incoming or a return; 422, it is past ``created`` and ``under_review``.
        """
        payment = self.retrieve(payment_id)
        if payment.direction != "outgoing" or payment.return_ is not None:
            detail = "Only an outgoing payment that is no return can be canceled."
            raise Refused(400, "operation_not_allowed", detail, instance=payment_id)
        if payment.status not in {"created", "under_review"}:
            raise impossible(payment_id, "The payment has been submitted already, or has ended.")
        self._plans.pop(payment_id, None)
        return self._change(payment, status="canceled")

    def return_(self, payment_id: str, why: Reason) -> Payment:
        """Make an outgoing payment that gives an incoming one back.

        An active return request is accepted once Lead has validated the return: at its first change of state.

        Raises:
            Refused: 404; 422, it is not a posted incoming payment, is a return itself, or was returned already.
        """
        original = self.retrieve(payment_id)
        if original.direction != "incoming" or original.status != "posted" or original.return_ is not None:
            raise impossible(payment_id, "Only a posted incoming payment that is no return can be returned.")
        if self._given_back(original):
            raise impossible(payment_id, "The payment has been returned already.")
        payment = attrs.evolve(
            self._draft(original.account, "outgoing", original.amount),
            creditor=original.debtor,
            creditor_agent=original.debtor_agent,
            return_=ReturnDetails(why.reason, why.additional_information),
            original_payment_id=payment_id,
        )
        self._link(original, payment)
        return self._begin(payment, outcomes.of_outgoing(original.debtor.account_number, original.debtor_agent))

    def request_return(self, payment_id: str, why: Reason) -> Payment:
        """Ask the counterparty to give an outgoing payment back.

        Raises:
            Refused: 404; 409, a request is active; 422, it is not a posted outgoing payment, is a return itself, or
                nothing is left to give back.
        """
        payment = self.retrieve(payment_id)
        if payment.direction != "outgoing" or payment.status != "posted" or payment.return_ is not None:
            raise impossible(payment_id, "A return can be requested of a posted outgoing payment only.")
        if payment.active_request is not None:
            raise Refused(409, "return_request_active", "A return request is active.", instance=payment_id)
        if not payment.holds or (payment.amount and self._given_back(payment) >= payment.amount):
            raise impossible(payment_id, "The payment came back already, or is about to.")
        now = self._now()
        request = ReturnRequest(
            status="pending",
            reason=why.reason,
            details=why.additional_information,
            created_at=now,
            deadline=outgoing_deadline(now),
        )
        return self._change(payment, return_requests=(*payment.return_requests, request))

    def reject_return_request(self, payment_id: str, why: Reason) -> Payment:
        """Turn the active return request of an incoming payment down.

        Raises:
            Refused: 404; 422, there is no such request, or a return is under way.
        """
        payment = self.retrieve(payment_id)
        if payment.direction != "incoming" or payment.active_request is None:
            raise impossible(payment_id, "No return request waits for an answer.")
        if self._given_back(payment):
            raise impossible(payment_id, "The payment is being returned, which accepts the request.")
        return self._resolve(payment, "rejected", "client", why)

    # What the outside world does, by simulation.

    def simulate_incoming(self, arrival: Arrival) -> None:
        """Have somebody pay the client, one delay from now.

        Raises:
            Refused: 422, the account number is not the client's (where the bank is strict).
        """
        try:
            account = self.ledger.find(arrival.creditor_account_number_id)
        except Refused as refused:
            # The bank's description of the simulation knows no 403.
            raise impossible(arrival.creditor_account_number_id, refused.detail) from None
        payment = attrs.evolve(
            self._draft(account, "incoming", arrival.amount),
            debtor=arrival.debtor,
            debtor_agent=arrival.debtor_agent,
            description=arrival.description,
        )
        if arrival.end_to_end_id is not None:
            payment = attrs.evolve(payment, end_to_end_id=arrival.end_to_end_id)
        self._later(partial(self._receive, payment, outcomes.of_incoming(arrival.debtor.account_number)))

    def simulate_incoming_return(self, payment_id: str, amount: int, why: Reason) -> None:
        """Have the counterparty give an outgoing payment back, in whole or in part, one delay from now.

        Raises:
            Refused: 404; 422, it is not a posted outgoing payment, or not so much is left.
        """
        payment = self.retrieve(payment_id)
        if payment.direction != "outgoing" or payment.status != "posted" or payment.return_ is not None:
            raise impossible(payment_id, "Only a posted outgoing payment that is no return can come back.")
        if amount > payment.amount - self._given_back(payment):
            raise impossible(payment_id, "The amount is more than what is left of the original payment.")
        self._later(partial(self._give_back, payment_id, amount, ReturnDetails(why.reason, why.additional_information)))

    def simulate_return_request(self, payment_id: str, why: Reason) -> None:
        """Have the counterparty ask for an incoming payment back, one delay from now.

        Raises:
            Refused: 404; 422, it is not a posted incoming payment, a request is active, or it was returned.
        """
        self._requestable(self.retrieve(payment_id))
        self._later(partial(self._ask_back, payment_id, why))

    def simulate_answer(self, payment_id: str, status: str, why: Reason | None = None) -> None:
        """Have the counterparty answer our return request, one delay from now.

        Args:
            payment_id: the outgoing payment whose return was requested.
            status: ``accepted`` or ``rejected``. An acceptance is an intention: money comes by a return of its own.
            why: the reason of a rejection.

        Raises:
            Refused: 404; 422, no request of ours is pending.
        """
        payment = self.retrieve(payment_id)
        if payment.direction != "outgoing" or payment.active_request is None:
            raise impossible(payment_id, "No return request of yours is pending.")
        self._later(partial(self._answer, payment_id, status, why))

    # What a test asks for.

    def next_payment(self, outcome: Outcome | str, *, direction: str = "outgoing") -> None:
        """Choose what becomes of the next payment (or return) that is made; several wishes queue up.

        Args:
            outcome: one of :func:`leadpay.sandbox.describe`'s names, such as ``returned:account_closed``.
            direction: ``outgoing`` or ``incoming``.

        Raises:
            ValueError: there is no such outcome or direction.
        """
        if direction not in self._wishes:
            raise ValueError("direction: must be 'outgoing' or 'incoming'")
        self._wishes[direction].append(outcomes.named(outcome) if isinstance(outcome, str) else outcome)

    def release(self, payment_id: str) -> None:
        """Let a payment that is held go on, at once.

        Raises:
            ValueError: it is not held.
        """
        self._plans[payment_id] = self._held(payment_id)
        self._later(partial(self._advance, payment_id), delay=0)

    def refuse(self, payment_id: str, reason: str = "regulatory_reason") -> None:
        """Have a payment that is held rejected, at once: by Lead, or by the counterparty where that one holds it.

        Raises:
            ValueError: it is not held, or the reason is unknown.
        """
        self._held(payment_id)
        if reason not in REJECTION_REASONS:
            raise ValueError("reason: is not a rejection reason")
        there = self.retrieve(payment_id).status == "posted"
        turned_down = Move("counterparty", "rejected", reason) if there else Move("reject", "lead", reason)
        self._plans[payment_id] = (turned_down, outcomes.GIVE_BACK) if there else (turned_down,)
        self._later(partial(self._advance, payment_id), delay=0)

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
        elif plan[0] != outcomes.HOLD:
            self._later(partial(self._advance, payment_id))

    def _held(self, payment_id: str) -> tuple[Move, ...]:
        plan = self._plans.get(payment_id)
        if not plan or plan[0] != outcomes.HOLD:
            raise ValueError("payment_id: this payment is not held")
        return plan[1:]

    def _advance(self, payment_id: str) -> None:
        plan = self._plans.get(payment_id)
        if plan:
            self._plans[payment_id] = plan[1:]
            self._make(self.retrieve(payment_id), plan[0])
            self._continue(payment_id)

    def _make(self, payment: Payment, move: Move) -> None:
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
            self._reject(payment, Move("reject", "lead", "non_sufficient_funds"))
            return
        self.ledger.move(payment.account, -payment.amount if outgoing else payment.amount)
        self._tell("posted", self._change(payment, status="posted"))

    def _reject(self, payment: Payment, move: Move) -> None:
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
        self._receive(payment, outcomes.POSTED)

    def _requestable(self, payment: Payment) -> None:
        if payment.direction != "incoming" or payment.status != "posted" or payment.return_ is not None:
            raise impossible(payment.id, "Only a posted incoming payment that is no return can be asked back.")
        if payment.active_request is not None or self._given_back(payment):
            raise impossible(payment.id, "A return request is active, or the payment has been returned.")

    def _ask_back(self, payment_id: str, why: Reason) -> None:
        payment = self.retrieve(payment_id)
        try:
            self._requestable(payment)
        except Refused:
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

"""The pretend bank's state machine: payments, return requests, and what becomes of them. Pure.

Time, identifiers and the wish to be told come from outside: ``now``, ``new_uuid``, ``wake`` and ``on_event``. Whoever
holds a clock calls :meth:`Bank.run_due` when :attr:`Bank.next_due` says so.
"""

from functools import partial

import attrs

from leadpay.sandbox import scenarios
from leadpay.sandbox.business_days import outgoing_deadline
from leadpay.sandbox.constants import REJECTION_REASONS, REQUEST_REASONS, RETURN_REASONS
from leadpay.sandbox.lifecycle import Lifecycle
from leadpay.sandbox.models import Payment, ReturnDetails, ReturnRequest
from leadpay.sandbox.orders import Arrival, Order, Reason
from leadpay.sandbox.problems import ApiProblem, impossible
from leadpay.sandbox.scenarios import Outcome, Step


class Bank(Lifecycle):
    """Accounts, payments and events in memory: what can be asked of them. How it is made, ``Lifecycle`` says."""

    # What the client asks for.

    def check_availability(self, routing_number: str) -> bool:
        """Whether a bank can be paid instantly.

        Raises:
            ApiProblem: 422, the number is invalid.
        """
        if routing_number == scenarios.INVALID_ROUTING_NUMBER:
            raise ApiProblem(422, "routing_number_invalid", "The routing number is invalid.")
        return routing_number not in scenarios.ROUTING_NUMBERS

    def send(self, order: Order) -> Payment:
        """Make an outgoing payment.

        Raises:
            ApiProblem: 403, the account number is not the client's (where the bank is strict).
        """
        account = self.ledger.find(order.account_number_id)
        chosen = scenarios.of_outgoing(order.creditor.account_number, order.creditor_agent)
        payment = attrs.evolve(
            self._draft(account, "outgoing", order.amount),
            creditor=order.creditor,
            creditor_agent=order.creditor_agent,
            description=order.description,
        )
        return self._begin(payment, chosen)

    def cancel(self, payment_id: str) -> Payment:
        """Cancel an outgoing payment that has not been submitted; no event tells of it.

        Raises:
            ApiProblem: 404; 400, it is incoming or a return; 422, it is past ``created`` and ``under_review``.
        """
        payment = self.retrieve(payment_id)
        if payment.direction != "outgoing" or payment.return_ is not None:
            detail = "Only an outgoing payment that is no return can be canceled."
            raise ApiProblem(400, "operation_not_allowed", detail, instance=payment_id)
        if payment.status not in {"created", "under_review"}:
            raise impossible(payment_id, "The payment has been submitted already, or has ended.")
        self._plans.pop(payment_id, None)
        return self._change(payment, status="canceled")

    def return_payment(self, payment_id: str, why: Reason) -> Payment:
        """Make an outgoing payment that gives an incoming one back.

        An active return request is accepted once Lead has validated the return: at its first change of state.

        Raises:
            ApiProblem: 404; 422, it is not a posted incoming payment, is a return itself, or was returned already.
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
        return self._begin(payment, scenarios.of_outgoing(original.debtor.account_number, original.debtor_agent))

    def request_return(self, payment_id: str, why: Reason) -> Payment:
        """Ask the counterparty to give an outgoing payment back.

        Raises:
            ApiProblem: 404; 409, a request is active; 422, it is not a posted outgoing payment, is a return itself, or
                nothing is left to give back.
        """
        payment = self.retrieve(payment_id)
        if payment.direction != "outgoing" or payment.status != "posted" or payment.return_ is not None:
            raise impossible(payment_id, "A return can be requested of a posted outgoing payment only.")
        if payment.active_request is not None:
            raise ApiProblem(409, "return_request_active", "A return request is active.", instance=payment_id)
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
            ApiProblem: 404; 422, there is no such request, or a return is under way.
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
            ApiProblem: 422, the account number is not the client's (where the bank is strict).
        """
        try:
            account = self.ledger.find(arrival.creditor_account_number_id)
        except ApiProblem as refused:
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
        self._later(partial(self._receive, payment, scenarios.of_incoming(arrival.debtor.account_number)))

    def simulate_incoming_return(self, payment_id: str, amount: int, why: Reason) -> None:
        """Have the counterparty give an outgoing payment back, in whole or in part, one delay from now.

        Raises:
            ApiProblem: 404; 422, it is not a posted outgoing payment, or not so much is left.
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
            ApiProblem: 404; 422, it is not a posted incoming payment, a request is active, or it was returned.
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
            ApiProblem: 404; 422, no request of ours is pending.
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
        self._wishes[direction].append(scenarios.named(outcome) if isinstance(outcome, str) else outcome)

    def give_back(self, payment_id: str, reason: str = "other", amount: int | None = None) -> None:
        """Have the counterparty give an outgoing payment back, one delay from now, for any reason that there is.

        The simulation over HTTP takes only the reasons that a client may give itself.

        Args:
            payment_id: the posted outgoing payment.
            reason: any reason of a return.
            amount: cents; all of it if left out.

        Raises:
            ValueError: the reason is unknown.
            ApiProblem: as for ``simulate_incoming_return``.
        """
        if reason not in RETURN_REASONS:
            raise ValueError("reason: is not a return reason")
        wanted = self.retrieve(payment_id).amount if amount is None else amount
        self.simulate_incoming_return(payment_id, wanted, Reason(reason))

    def ask_back(self, payment_id: str, reason: str = "other") -> None:
        """Have the counterparty ask for an incoming payment back, one delay from now, for any reason that there is.

        Args:
            payment_id: the posted incoming payment.
            reason: any reason of a return request.

        Raises:
            ValueError: the reason is unknown.
            ApiProblem: as for ``simulate_return_request``.
        """
        if reason not in REQUEST_REASONS:
            raise ValueError("reason: is not a reason of a return request")
        self.simulate_return_request(payment_id, Reason(reason))

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
        turned_down = Step("counterparty", "rejected", reason) if there else Step("reject", "lead", reason)
        self._plans[payment_id] = (turned_down, scenarios.GIVE_BACK) if there else (turned_down,)
        self._later(partial(self._advance, payment_id), delay=0)

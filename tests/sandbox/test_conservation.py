"""The bank under random orders: money is conserved, no transition is illegal, and every event matches a change."""

from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from leadpay.sandbox.models import Payment
from leadpay.sandbox.scenarios import ACCOUNT_NUMBERS
from leadpay.sandbox.store import Collection
from tests.sandbox.desk import ARRIVAL, ORDER, PAYMENTS, SIMULATE, Desk

NEXT: dict[str, set[str]] = {
    "created": {"under_review", "posted", "rejected", "canceled"},
    "under_review": {"posted", "rejected", "canceled"},
    "posted": set(),
    "rejected": set(),
    "canceled": set(),
}
"""Where a status may go."""

THERE: dict[str | None, set[str | None]] = {
    None: {"under_review", "posted", "rejected"},
    "under_review": {"posted", "rejected"},
    "posted": set(),
    "rejected": set(),
}
"""Where a counterparty's status may go."""

ASKED = {"pending": {"accepted", "rejected"}, "response_needed": {"accepted", "rejected"}}
"""Where a return request's status may go."""

NUMBERS = st.just("1234567890") | st.sampled_from([*list(ACCOUNT_NUMBERS)[:6], *list(ACCOUNT_NUMBERS)[6::9]])
AMOUNTS = st.integers(0, 3) | st.just(10**13)
EXPLAINED = {"additional_information": "As agreed"}


class Watch(Collection[Payment]):
    """The bank's shelf of payments, with a look at every version that is put there."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[str, str]] = []
        self.drafts: set[str] = set()

    def put(self, record: Payment) -> None:
        """Check the step from what it was, and note what must be told."""
        before = self.get(record.id)
        super().put(record)
        if before is not None:
            self._look(before, record)
        elif record.direction == "incoming":
            self.drafts.add(record.id)  # it is seen only with its first move
        else:
            assert record.status == "created"

    def _look(self, before: Payment, payment: Payment) -> None:
        if payment.id in self.drafts:
            self.drafts.remove(payment.id)
            assert payment.status in {"under_review", "posted", "rejected"}
            self.changes.append((payment.id, payment.status))
        elif payment.status != before.status:
            assert payment.status in NEXT[before.status]
            if payment.status != "canceled":
                self.changes.append((payment.id, payment.status))
        if payment.counterparty_status != before.counterparty_status:
            assert payment.counterparty_status in THERE[before.counterparty_status]
            assert (payment.status, payment.direction) == ("posted", "outgoing")
            self.changes.append((payment.id, "counterparty_status_updated"))
        self._look_at_requests(before, payment)
        for field in ("amount", "direction", "creditor", "debtor", "created_at", "original_payment_id"):
            assert getattr(payment, field) == getattr(before, field)

    def _look_at_requests(self, before: Payment, payment: Payment) -> None:
        for old, new in zip(before.return_requests, payment.return_requests, strict=False):
            if new.status != old.status:
                assert new.status in ASKED[old.status]
                if payment.direction == "outgoing":
                    self.changes.append((payment.id, "return_request_status_updated"))
        for new in payment.return_requests[len(before.return_requests) :]:
            assert before.active_request is None
            if payment.direction == "incoming":
                assert new.status == "response_needed"
                self.changes.append((payment.id, "return_request_response_needed"))


BODIES: dict[str, dict[str, Any] | None] = {
    "cancel": None,
    "return": {"reason": "narrative", **EXPLAINED},
    "request_return": {"reason": "narrative", **EXPLAINED},
    "reject_return_request": {"reason": "narrative", **EXPLAINED},
    "incoming_return": {"reason": "duplication"},
    "incoming_return_request": {"reason": "duplication"},
    "incoming_return_request_rejection": {"reason": "other"},
    "incoming_return_request_acceptance": None,
}
"""What can be tried on a payment, by either side."""

PAUSES = st.sampled_from([0.0, 0.5, 3.0])


class Conservation(RuleBasedStateMachine):
    """Random orders in random order, looked at after every single change."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.watch = self.desk.bank.payments = Watch()
        self.answers: dict[str, tuple[dict[str, Any], bytes]] = {}

    @rule(number=NUMBERS, amount=AMOUNTS, pause=PAUSES)
    def send(self, number: str, amount: int, pause: float) -> None:
        """A payment out."""
        body = {**ORDER, "amount": amount, "creditor": {"name": "Alex Smith", "account_number": number}}
        key = f"order-{len(self.answers)}"
        self.answers[key] = (body, self.desk.answer("POST", PAYMENTS, body, key=key).body)
        self.desk.wait(pause)

    @rule(number=NUMBERS, amount=AMOUNTS, pause=PAUSES)
    def receive(self, number: str, amount: int, pause: float) -> None:
        """A payment in."""
        debtor = {"name": "Robin Brown", "account_number": number}
        self.desk.ask("POST", f"{SIMULATE}/incoming", {**ARRIVAL, "amount": amount, "debtor": debtor})
        self.desk.wait(pause)

    @precondition(lambda self: bool(len(self.watch)))
    @rule(data=st.data(), tries=st.lists(st.sampled_from(sorted(BODIES)), min_size=1, max_size=4), amount=AMOUNTS)
    def try_anything(self, data: st.DataObject, tries: list[str], amount: int) -> None:
        """Whatever either side may try on one payment, allowed or not; what is refused changes nothing."""
        payment = data.draw(st.sampled_from(self.watch.all()[-4:]))
        for what in tries:
            body = BODIES[what]
            if what == "incoming_return":
                body = {"amount": amount, "reason": "duplication"}
            before = self.watch.all()
            place = SIMULATE if what.startswith("incoming") else PAYMENTS
            answer = self.desk.answer("POST", f"{place}/{payment.id}/{what}", body)
            if answer.status != 200:
                assert self.watch.all() == before
            self.desk.wait(data.draw(PAUSES))

    @precondition(lambda self: bool(len(self.watch)))
    @rule(data=st.data(), refuse=st.booleans())
    def let_go(self, data: st.DataObject, refuse: bool) -> None:
        """What is held goes on or is refused; what is not held is not."""
        payment = data.draw(st.sampled_from(self.watch.all()))
        with suppress(ValueError):
            (self.desk.bank.refuse if refuse else self.desk.bank.release)(payment.id)

    @precondition(lambda self: bool(self.answers))
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """The same key and order: the same answer, and nothing more happens."""
        key = data.draw(st.sampled_from(sorted(self.answers)))
        body, answer = self.answers[key]
        made = len(self.watch)
        assert self.desk.answer("POST", PAYMENTS, body, key=key).body == answer
        assert len(self.watch) == made

    @rule(seconds=st.sampled_from([3.0, 3600.0, 15 * 86_400.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.desk.wait(seconds)
        self.desk.token = self.desk.login()

    @invariant()
    def money_is_conserved(self) -> None:
        """What left the accounts is outside, and what is on them is what posted."""
        bank = self.desk.bank
        assert bank.ledger.total == 0
        posted = [payment for payment in bank.payments.all() if payment.status == "posted"]
        moved = sum(payment.amount if payment.direction == "incoming" else -payment.amount for payment in posted)
        opened = {payment.account.id for payment in bank.payments.all()}
        assert sum(bank.ledger.balance(one) for one in opened) == 10**14 * len(opened) + moved

    @invariant()
    def no_more_comes_back_than_went(self) -> None:
        """The returns of a payment never add up to more than it was."""
        found = {payment.id: payment for payment in self.desk.bank.payments.all()}
        for payment in found.values():
            back = [found[one] for one in payment.return_payment_ids if found[one].status == "posted"]
            assert sum(one.amount for one in back) <= payment.amount
            assert all(one.original_payment_id == payment.id for one in back)

    @invariant()
    def every_event_matches_one_change(self) -> None:
        """What was told is what changed, in the same order for each payment."""
        told = [(event.payment_id, event.type.removeprefix("instant_payment.")) for event in self.desk.told]
        for payment_id in {one for one, _ in told} | {one for one, _ in self.watch.changes}:
            assert [what for one, what in told if one == payment_id] == [
                what for one, what in self.watch.changes if one == payment_id
            ]


TestConservation = Conservation.TestCase
TestConservation.settings = settings(
    max_examples=80, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

"""The bank under random calls: money is conserved, no transition is illegal, and every event matches a change."""

from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from leadpay.sandbox.models import Payment
from leadpay.sandbox.scenarios import ACCOUNT_NUMBERS
from leadpay.sandbox.store import Collection
from tests.support.api_client import INCOMING, ORDER, PAYMENTS, SIMULATE, ApiClient

NEXT_STATUS: dict[str, set[str]] = {
    "created": {"under_review", "posted", "rejected", "canceled"},
    "under_review": {"posted", "rejected", "canceled"},
    "posted": set(),
    "rejected": set(),
    "canceled": set(),
}
"""The statuses that may follow a status."""

NEXT_COUNTERPARTY_STATUS: dict[str | None, set[str | None]] = {
    None: {"under_review", "posted", "rejected"},
    "under_review": {"posted", "rejected"},
    "posted": set(),
    "rejected": set(),
}
"""The counterparty statuses that may follow one."""

NEXT_REQUEST_STATUS = {"pending": {"accepted", "rejected"}, "response_needed": {"accepted", "rejected"}}
"""The statuses of a return request that may follow one."""

NUMBERS = st.just("1234567890") | st.sampled_from([*list(ACCOUNT_NUMBERS)[:6], *list(ACCOUNT_NUMBERS)[6::9]])
AMOUNTS = st.integers(0, 3) | st.just(10**13)
NARRATIVE = {"reason": "narrative", "additional_information": "As agreed"}


class CheckedCollection(Collection[Payment]):
    """The bank's payments; checks every new version of one."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[str, str]] = []
        self.new: set[str] = set()

    def put(self, record: Payment) -> None:
        """Check the change, and note the events that must be emitted."""
        before = self.get(record.id)
        super().put(record)
        if before is not None:
            self._check(before, record)
        elif record.direction == "incoming":
            self.new.add(record.id)  # its first step sets the status
        else:
            assert record.status == "created"

    def _check(self, before: Payment, payment: Payment) -> None:
        if payment.id in self.new:
            self.new.remove(payment.id)
            assert payment.status in {"under_review", "posted", "rejected"}
            self.changes.append((payment.id, payment.status))
        elif payment.status != before.status:
            assert payment.status in NEXT_STATUS[before.status]
            if payment.status != "canceled":
                self.changes.append((payment.id, payment.status))
        if payment.direction == "incoming":
            assert payment.counterparty_status == ("posted" if payment.status == "posted" else None)
        elif payment.counterparty_status != before.counterparty_status:
            assert payment.counterparty_status in NEXT_COUNTERPARTY_STATUS[before.counterparty_status]
            assert (payment.status, payment.direction) == ("posted", "outgoing")
            self.changes.append((payment.id, "counterparty_status_updated"))
        self._check_requests(before, payment)
        for field in ("amount", "direction", "creditor", "debtor", "created_at", "original_payment_id"):
            assert getattr(payment, field) == getattr(before, field)

    def _check_requests(self, before: Payment, payment: Payment) -> None:
        for old, new in zip(before.return_requests, payment.return_requests, strict=False):
            if new.status != old.status:
                assert new.status in NEXT_REQUEST_STATUS[old.status]
                if payment.direction == "outgoing":
                    self.changes.append((payment.id, "return_request_status_updated"))
        for new in payment.return_requests[len(before.return_requests) :]:
            assert before.active_request is None
            if payment.direction == "incoming":
                assert new.status == "response_needed"
                self.changes.append((payment.id, "return_request_response_needed"))


BODIES: dict[str, dict[str, Any] | None] = {
    "cancel": None,
    "return": NARRATIVE,
    "request_return": NARRATIVE,
    "reject_return_request": NARRATIVE,
    "incoming_return": {"reason": "duplication"},
    "incoming_return_request": {"reason": "duplication"},
    "incoming_return_request_rejection": {"reason": "other"},
    "incoming_return_request_acceptance": None,
}
"""The operations on a payment, of both sides."""

PAUSES = st.sampled_from([0.0, 0.5, 3.0])


class RandomCalls(RuleBasedStateMachine):
    """Random calls in random order, checked after every single change."""

    def __init__(self) -> None:
        super().__init__()
        self.api = ApiClient()
        self.payments = self.api.bank.payments = CheckedCollection()
        self.responses: dict[str, tuple[dict[str, Any], bytes]] = {}

    @rule(number=NUMBERS, amount=AMOUNTS, pause=PAUSES)
    def send(self, number: str, amount: int, pause: float) -> None:
        """Send a payment."""
        body = {**ORDER, "amount": amount, "creditor": {"name": "Alex Smith", "account_number": number}}
        key = f"order-{len(self.responses)}"
        self.responses[key] = (body, self.api.respond("POST", PAYMENTS, body, key=key).body)
        self.api.advance(pause)

    @rule(number=NUMBERS, amount=AMOUNTS, pause=PAUSES)
    def receive(self, number: str, amount: int, pause: float) -> None:
        """Simulate an incoming payment."""
        debtor = {"name": "Robin Brown", "account_number": number}
        self.api.call("POST", f"{SIMULATE}/incoming", {**INCOMING, "amount": amount, "debtor": debtor})
        self.api.advance(pause)

    @precondition(lambda self: bool(len(self.payments)))
    @rule(
        data=st.data(),
        operations=st.lists(st.sampled_from(sorted(BODIES)), min_size=1, max_size=4),
        amount=AMOUNTS,
    )
    def call_any_operation(self, data: st.DataObject, operations: list[str], amount: int) -> None:
        """Call operations on one payment, allowed or not; a refused one changes nothing."""
        payment = data.draw(st.sampled_from(self.payments.all()[-4:]))
        for operation in operations:
            body = BODIES[operation]
            if operation == "incoming_return":
                body = {"amount": amount, "reason": "duplication"}
            before = self.payments.all()
            root = SIMULATE if operation.startswith("incoming") else PAYMENTS
            response = self.api.respond("POST", f"{root}/{payment.id}/{operation}", body)
            if response.status != 200:
                assert self.payments.all() == before
            self.api.advance(data.draw(PAUSES))

    @precondition(lambda self: bool(len(self.payments)))
    @rule(data=st.data(), refuse=st.booleans())
    def release_or_refuse(self, data: st.DataObject, refuse: bool) -> None:
        """Release or refuse a payment, if it is held."""
        payment = data.draw(st.sampled_from(self.payments.all()))
        with suppress(ValueError):
            (self.api.bank.refuse if refuse else self.api.bank.release)(payment.id)

    @precondition(lambda self: bool(self.responses))
    @rule(data=st.data())
    def repeat_a_request(self, data: st.DataObject) -> None:
        """The same key and order get the same response, and no other payment is made."""
        key = data.draw(st.sampled_from(sorted(self.responses)))
        body, response = self.responses[key]
        count = len(self.payments)
        assert self.api.respond("POST", PAYMENTS, body, key=key).body == response
        assert len(self.payments) == count

    @rule(seconds=st.sampled_from([3.0, 3600.0, 15 * 86_400.0]))
    def advance(self, seconds: float) -> None:
        """Move the time."""
        self.api.advance(seconds)
        self.api.token = self.api.log_in()

    @invariant()
    def money_is_conserved(self) -> None:
        """What left the accounts is outside, and their balances are the sum of what has posted."""
        bank = self.api.bank
        assert bank.ledger.total == 0
        posted = [payment for payment in bank.payments.all() if payment.status == "posted"]
        change = sum(payment.amount if payment.direction == "incoming" else -payment.amount for payment in posted)
        opened = {payment.account.id for payment in bank.payments.all()}
        assert sum(bank.ledger.balance(one) for one in opened) == 10**14 * len(opened) + change

    @invariant()
    def returns_do_not_exceed_their_original(self) -> None:
        """The returns of a payment never add up to more than its amount."""
        found = {payment.id: payment for payment in self.api.bank.payments.all()}
        for payment in found.values():
            returns = [found[one] for one in payment.return_payment_ids if found[one].status == "posted"]
            assert sum(one.amount for one in returns) <= payment.amount
            assert all(one.original_payment_id == payment.id for one in returns)

    @invariant()
    def every_event_matches_one_change(self) -> None:
        """Events and changes of each payment are the same, in the same order."""
        events = [(event.object_id, event.type.removeprefix("instant_payment.")) for event in self.api.events]
        for payment_id in {one for one, _ in events} | {one for one, _ in self.payments.changes}:
            assert [name for one, name in events if one == payment_id] == [
                name for one, name in self.payments.changes if one == payment_id
            ]


TestRandomCalls = RandomCalls.TestCase
TestRandomCalls.settings = settings(
    max_examples=80, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

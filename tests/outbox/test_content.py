from typing import Any

from leadpay.outbox import content
from leadpay.outbox.content import Digests, changed_fields
from tests.support.outbox import payment

GIVEN: dict[str, Any] = {"description": None, "currency_code": "USD", "priority": 0}


def test_keys_are_the_same_in_one_outbox_and_differ_between_outboxes() -> None:
    """A key is made from the reference and the outbox's own namespace."""
    assert Digests("one").key("a") == Digests("one").key("a")
    assert len({Digests("one").key("a"), Digests("one").key("b"), Digests("two").key("a")}) == 3


def test_digests_tell_parts_apart() -> None:
    """Two texts that are glued together differently are not the same."""
    digests = Digests("one")
    assert digests.creditor("111", "222") != digests.creditor("1112", "22")


def test_a_repr_shows_no_content() -> None:
    """Error trackers show local variables."""
    new = content.send(**{**GIVEN, **payment()})
    assert repr(new) == "NewInstruction(send 'invoice-1')"
    assert repr(Digests("secret")) == "Digests()"
    assert digests_of_others(new) is None


def digests_of_others(new: content.NewInstruction) -> str | None:
    """Give the fingerprint of something that is no payment."""
    cancel = content.about_payment("cancel", "instant_payment_1", reference=new.reference, priority=0)
    return Digests("one").of_new(cancel)[1]


def test_the_fields_that_changed_are_named() -> None:
    """Nested ones by their path; without the earlier content they can't be told apart."""
    new = content.send(**{**GIVEN, **payment()})
    before = {**new.content, "amount": 1, "creditor": {"name": "X"}}
    assert changed_fields(new, "send", None, before) == ["amount", "creditor.account_number", "creditor.name"]
    assert changed_fields(new, "send", None, None) == ["content"]
    assert changed_fields(new, "cancel", None, None) == ("operation",)

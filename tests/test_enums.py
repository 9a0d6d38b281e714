"""The enums: open, with older spellings, and the same values as Literal types."""

import copy
import json
import pickle
from typing import Any, get_args

import pytest

from leadpay import enums
from leadpay.enums import OLDER_SPELLINGS, EventType, OpenEnum, ReturnReason, Status


def test_enums_are_open() -> None:
    """An unknown value is kept, equals its string, is not known, and does not become a member."""
    frozen = Status("frozen")
    assert (frozen, str(frozen), frozen.is_known, frozen.current) == ("frozen", "frozen", False, "frozen")
    assert f"{frozen}" == json.loads(json.dumps(frozen)) == "frozen"
    assert hash(frozen) == hash("frozen")
    assert Status("posted") is Status.POSTED
    assert Status.POSTED.is_known
    assert "frozen" not in {str(member) for member in Status}
    assert pickle.loads(pickle.dumps(frozen)) == copy.copy(frozen) == frozen  # noqa: S301 - our own pickle


@pytest.mark.parametrize("value", [None, 5, True, b"posted", ["posted"]])
def test_an_enum_takes_only_strings(value: Any) -> None:
    """A value that is not a string is refused."""
    with pytest.raises(ValueError, match="not a valid Status"):
        Status(value)


OLDER = [
    (enum, old, enum(new))
    for old, new in OLDER_SPELLINGS.items()
    for enum in OpenEnum.__subclasses__()
    if new in {str(member) for member in enum}
]


@pytest.mark.parametrize(("enum", "old", "member"), OLDER)
def test_an_older_spelling_is_the_same_word(enum: type[OpenEnum], old: str, member: OpenEnum) -> None:
    """It compares, hashes and prints as the current one, with plain strings too, and keeps the spelling that came."""
    value = enum(old)
    assert value == member == str(member) == value.value == f"{value}"
    assert (value.name, value.is_known, value.current) == (member.name, True, member)
    assert value.current is member
    assert value != old
    assert (value.as_sent, member.as_sent) == (old, str(member))
    assert len({value, member, str(member)}) == 1
    assert json.loads(json.dumps(value)) == member
    for again in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value), enum(value.as_sent)):  # noqa: S301 - our own pickle
        assert (again, again.as_sent, type(again)) == (member, old, enum)
    assert pickle.loads(pickle.dumps(member)) is copy.deepcopy(member) is member  # noqa: S301 - our own pickle


def test_every_older_spelling_belongs_to_an_enum() -> None:
    """Each leads to a value that some enum lists, and no enum lists the older one itself."""
    assert {old for _, old, _ in OLDER} == set(OLDER_SPELLINGS)
    assert not set(OLDER_SPELLINGS) & {str(member) for enum in OpenEnum.__subclasses__() for member in enum}


def test_an_older_spelling_of_another_enum_is_unknown() -> None:
    """It is the older spelling of nothing that this enum lists."""
    status = Status("duplicate")
    assert (status, status.is_known, status.as_sent, status.current) == ("duplicate", False, "duplicate", status)


def test_match_takes_an_older_spelling_for_the_member() -> None:
    """As in a handler that decides by the reason."""
    match ReturnReason("fraudulent"):
        case ReturnReason.FRAUD_SUSPECTED:
            matched = True
        case _:
            matched = False
    assert matched


def test_event_types_know_their_product() -> None:
    """New kinds of events about instant payments are still about instant payments."""
    assert EventType("instant_payment.brand_new").is_instant_payment
    assert EventType.INSTANT_PAYMENT_POSTED.is_instant_payment
    assert not EventType.ACH_POSTED.is_instant_payment


@pytest.mark.parametrize(
    "enum", [enum for enum in OpenEnum.__subclasses__() if hasattr(enums, f"{enum.__name__}Literal")]
)
def test_literal_types_hold_only_listed_values(enum: type[OpenEnum]) -> None:
    """Each value of a Literal type is a member of the enum of the same name."""
    values = get_args(getattr(enums, f"{enum.__name__}Literal"))
    assert len(set(values)) == len(values) > 0
    assert all(enum(value).is_known for value in values)

"""The enums: open, with older spellings, and the same values as Literal types."""

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
    assert pickle.loads(pickle.dumps(frozen)) == frozen  # noqa: S301 - our own pickle


@pytest.mark.parametrize("value", [None, 5, True, b"posted", ["posted"]])
def test_an_enum_takes_only_strings(value: Any) -> None:
    """A value that is not a string is refused."""
    with pytest.raises(ValueError, match="not a valid Status"):
        Status(value)


def test_older_spellings_lead_to_the_current_ones() -> None:
    """Each older spelling is unknown itself, is kept, and leads to a value that some enum lists."""
    listed = {str(member): type(member) for enum in OpenEnum.__subclasses__() for member in enum}
    for old, new in OLDER_SPELLINGS.items():
        assert old not in listed
        assert listed[new](old).current is listed[new](new)
    assert ReturnReason.DUPLICATION.current is ReturnReason.DUPLICATION


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

"""Explanations: every value of every enum has one, an unknown value says that it is unknown."""

import re

import pytest

from leadpay import explain
from leadpay.converter import structure
from leadpay.enums import (
    OLDER_SPELLINGS,
    EventType,
    OpenEnum,
    RejectedBy,
    RejectionReason,
    ResolvedBy,
    ReturnReason,
    ReturnRequestReason,
    ReturnRequestRejectionReason,
)
from leadpay.explanation_table import Actor, TryAgain
from leadpay.explanations import every_explanation, explain_all
from leadpay.models import Rejection, Return, ReturnRequest, ReturnRequestResolution
from leadpay.sandbox.constants import REJECTION_REASONS
from tests.support.payments import PAYMENTS

ENUMS = OpenEnum.__subclasses__()
REASONS = (RejectionReason, ReturnReason, ReturnRequestReason, ReturnRequestRejectionReason)
PLAIN = re.compile(r"[A-Z][A-Za-z ,.;:'\-]*\.")
"""What a customer reads: sentences without numbers, codes and underscores."""


@pytest.mark.parametrize("enum", ENUMS)
def test_every_value_of_every_enum_is_explained(enum: type[OpenEnum]) -> None:
    """With a meaning, who must act, and whether to try again; the kind is that of the enum."""
    kinds = set()
    for member in enum:
        found = explain(member)
        assert found.is_known, member
        assert (found.code, found.meaning[-1]) == (str(member), ".")
        assert isinstance(found.who, Actor)
        assert isinstance(found.try_again, TryAgain)
        assert explain(str(member), enum) == found
        assert found in explain_all(str(member))
        kinds.add(found.kind)
    assert len(kinds) == 1


def test_the_table_has_every_value_once() -> None:
    """And no value of an enum that does not exist."""
    found = [(one.kind, one.code) for one in every_explanation()]
    assert len(set(found)) == len(found) == sum(len(enum) for enum in ENUMS)


@pytest.mark.parametrize("enum", REASONS)
def test_a_reason_has_words_for_the_customer(enum: type[OpenEnum]) -> None:
    """Plain ones, which do not tell a customer of a suspicion or of a regulation."""
    for member in enum:
        words = explain(member).for_customer
        assert PLAIN.fullmatch(words), words
        assert not re.search("fraud|regulat|suspect|suspic|law", words, re.IGNORECASE), words


def test_iso_codes_are_four_characters_and_those_of_the_sandbox() -> None:
    """The sandbox has written them down independently."""
    codes = {one.iso_code for one in every_explanation()} - {None}
    assert all(re.fullmatch("[A-Z0-9]{4}", code or "") for code in codes)
    for reason, details in REJECTION_REASONS.items():
        named = re.match("[A-Z0-9]{4}(?= )", details)
        assert explain(RejectionReason(reason)).iso_code == (named and named[0])


@pytest.mark.parametrize(("older", "current"), OLDER_SPELLINGS.items())
def test_an_older_spelling_has_the_explanation_of_the_current_one(older: str, current: str) -> None:
    """As a plain string, and as a member."""
    assert explain_all(older) == explain_all(current) != ()
    assert explain(older) == explain(current)
    for enum in ENUMS:
        if current in {str(member) for member in enum}:
            assert explain(enum(older)) == explain(enum(current))


def test_a_plain_string_is_a_rejection_reason_first() -> None:
    """The same word can be a value of several enums."""
    assert explain("account_closed").kind == "rejection reason"
    assert [one.kind for one in explain_all("account_closed")] == [
        "rejection reason",
        "reason to reject a return request",
    ]
    assert explain("account_closed", ReturnRequestRejectionReason).kind == "reason to reject a return request"
    assert explain(ReturnReason.DUPLICATION).kind == "return reason"


@pytest.mark.parametrize("code", ["frozen", "", "\ud800", "x" * 10_000])
def test_an_unknown_value_says_that_it_is_unknown(code: str) -> None:
    """It must not be sent again before its meaning is known."""
    for found in (explain(code), explain(RejectionReason(code)), explain(code, EventType), explain(code, OpenEnum)):
        assert found.code == code
        assert not found.is_known
        assert "Unknown" in found.meaning
        assert (found.who, found.try_again, found.iso_code) == (Actor.US, TryAgain.NO, None)
    assert explain_all(code) == ()


def test_some_reasons_of_lead_are_about_our_own_account() -> None:
    """The same reason of another bank is about the receiver's."""
    ours = explain(RejectionReason.ACCOUNT_NUMBER_INCORRECT, rejected_by="lead")
    assert (ours.who, "your account number" in ours.meaning) == (Actor.US, True)
    assert explain("account_blocked", rejected_by="lead").who is Actor.US
    assert explain("account_blocked", rejected_by="counterparty").who is Actor.CUSTOMER
    assert explain("account_closed", rejected_by="lead") == explain("account_closed")
    other = explain("account_closed", ReturnRequestRejectionReason)
    assert explain("account_closed", ReturnRequestRejectionReason, rejected_by="lead") == other


def test_models_explain_their_reasons() -> None:
    """Rejections know by whom; a resolution without a rejection has nothing to explain."""
    rejection = Rejection(rejected_by=RejectedBy.LEAD, reason=RejectionReason.ACCOUNT_BLOCKED)
    assert rejection.explain() == explain("account_blocked", rejected_by="lead")
    assert Return(reason=ReturnReason.DUPLICATION).explain() == explain(ReturnReason.DUPLICATION)
    data = PAYMENTS["incoming, asked back"]["return_requests"][0]
    request = structure(data, ReturnRequest)
    assert request.explain() == explain(request.reason, ReturnRequestReason)
    resolved = ReturnRequestResolution(resolved_at=request.created_at, resolved_by=ResolvedBy.CLIENT)
    assert resolved.explain() is None
    why = ReturnRequestRejectionReason.LEGAL_DECISION
    because = ReturnRequestResolution(
        resolved_at=request.created_at, resolved_by=ResolvedBy.CLIENT, rejection_reason=why
    )
    assert because.explain() == explain(why)
    assert not Rejection(rejected_by=RejectedBy("x"), reason=RejectionReason("y")).explain().is_known

"""What is sent is checked before it leaves."""

from typing import Any

import orjson
import pytest

from leadpay.client import requests
from leadpay.enums import ReturnReason
from leadpay.errors import (
    InvalidRequestError,
)
from leadpay.models import Agent, Party
from tests.support.validation import ORDER, problems_of


def test_everything_at_its_limit_is_accepted() -> None:
    """Limits are inclusive, and letters beyond ASCII are letters."""
    request = requests.send(
        account_number_id="account_number_1",
        amount=2**63 - 1,
        creditor=Party(name="Zoë" + "é" * 32, account_number="1" * 17),
        creditor_agent=Agent(routing_number="000000000"),
        description="d" * 140,
        currency_code="USD",
        key="k" * 255,
    )
    assert orjson.loads(request.body or b"")["amount"] == 2**63 - 1
    assert requests.cancel("instant_payment_1", "k").key == "k"


def test_a_string_of_a_class_of_its_own_is_a_string() -> None:
    """Templates and data frames have subclasses of str, and a payment must not stumble over them."""

    class Safe(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "<b>escaped</b>"

    request = requests.send(
        **{
            **ORDER,
            "account_number_id": Safe("account_number_1"),
            "creditor": Party(name=Safe("Zoë Smith"), account_number=Safe("1")),
            "description": Safe("rent"),
        }
    )
    body = orjson.loads(request.body or b"")
    assert (body["account_number_id"], body["description"]) == ("account_number_1", "rent")
    assert body["creditor"] == {"name": "Zoë Smith", "account_number": "1"}


def test_all_faults_are_named_at_once_and_the_key_is_kept() -> None:
    """One round of corrections is enough."""
    with pytest.raises(InvalidRequestError) as caught:
        requests.send(**{**ORDER, "amount": 1.5, "description": "d" * 141})
    assert [problem.parameter for problem in caught.value.problems] == ["amount", "description"]
    assert caught.value.idempotency_key == "key"


@pytest.mark.parametrize(
    ("kind", "reason", "text", "fields"),
    [
        (requests.RETURN, "duplication", None, []),
        (requests.RETURN, "amount_too_low", None, ["reason"]),
        (requests.RETURN, "narrative", None, ["additional_information"]),
        (requests.RETURN, "wrong_amount", "", ["additional_information"]),
        (requests.RETURN, "wrong_amount", "why", []),
        (requests.RETURN, "customer_requested", "w" * 141, ["additional_information"]),
        (requests.RETURN, None, None, ["reason"]),
        (requests.REQUEST_RETURN, "service_not_rendered", None, ["additional_information"]),
        (requests.REQUEST_RETURN, "per_agent_request", None, ["reason"]),
        (requests.REJECT_RETURN_REQUEST, "narrative", None, ["additional_information"]),
        (requests.REJECT_RETURN_REQUEST, "other", None, ["reason"]),
    ],
)
def test_reasons_and_their_texts(
    kind: requests.ReasonedOperation, reason: Any, text: str | None, fields: list[str]
) -> None:
    """Only what the bank takes from us, with the text where it wants one."""
    if fields:
        assert list(problems_of(requests.reasoned_request, kind, "instant_payment_1", reason, text, "k")) == fields
    else:
        body = orjson.loads(requests.reasoned_request(kind, "instant_payment_1", reason, text, "k").body or b"")
        assert body == ({"reason": reason} if text is None else {"reason": reason, "additional_information": text})


@pytest.mark.parametrize("reason", ["fraudulent", ReturnReason("fraudulent"), ReturnReason.FRAUD_SUSPECTED])
def test_an_older_spelling_is_sent_as_the_current_one(reason: str) -> None:
    """It is the same word, as a string and as an enum value."""
    request = requests.reasoned_request(requests.RETURN, "instant_payment_1", reason, None, "k")
    assert orjson.loads(request.body or b"") == {"reason": "fraud_suspected"}


def test_a_new_reason_can_be_sent(caplog: pytest.LogCaptureFixture) -> None:
    """Where the caller says so; it must be a word, and it is logged."""
    arguments = requests.REQUEST_RETURN, "instant_payment_1"
    problems = problems_of(requests.reasoned_request, *arguments, "brand_new", None, "k")
    assert problems["reason"].endswith("if it is new, say unlisted=True")
    request = requests.reasoned_request(*arguments, "brand_new", None, "k", unlisted=True)
    assert orjson.loads(request.body or b"") == {"reason": "brand_new"}
    assert caplog.messages == ["request_return: reason=brand_new is not on the list of this version"]
    for bad in ("", "a b", "x" * 65, "é", 5, None):
        assert "reason" in problems_of(requests.reasoned_request, *arguments, bad, None, "k", unlisted=True)
    simulated = requests.simulate(
        requests.INCOMING_REJECTION, "instant_payment_1", key="k", reason="brand_new", unlisted=True
    )
    assert orjson.loads(simulated.body or b"") == {"reason": "brand_new"}


@pytest.mark.parametrize("bad", ["instant_payment_1/cancel", "event_1", "", None, "instant_payment_1?x=1"])
def test_an_id_that_is_none_never_becomes_part_of_a_url(bad: Any) -> None:
    """In every call that takes one."""
    for call in (requests.retrieve, requests.retrieve_event):
        value = f"x{bad}" if bad == "event_1" else bad
        assert len(problems_of(call, value)) == 1
    assert list(problems_of(requests.cancel, bad, "k")) == ["payment_id"]
    assert list(problems_of(requests.check_availability, bad)) == ["routing_number"]


def test_the_simulations_are_checked_too() -> None:
    """Their own fields included; the optional ones may be left out."""
    base = {key: ORDER[key] for key in ("account_number_id", "amount", "description", "key")}
    debtor = {"debtor": ORDER["creditor"], "debtor_agent": ORDER["creditor_agent"], "end_to_end_id": None}
    assert b"end_to_end_id" not in (requests.simulate_incoming(**base, **debtor).body or b"")
    assert list(problems_of(requests.simulate_incoming, **base, **{**debtor, "end_to_end_id": "e" * 36})) == [
        "end_to_end_id"
    ]
    fields = problems_of(requests.simulate, requests.INCOMING_RETURN, "x", key="k", reason="duplication")
    assert list(fields) == ["payment_id", "amount"]

"""What is sent is checked before it leaves: every field, every limit, all at once."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest

from leadpay.client import queries, requests
from leadpay.client.retry import RetryPolicy, retry_after
from leadpay.errors import ConfigurationError, InvalidRequestError
from leadpay.models import Agent, Party

GOOD: dict[str, Any] = {
    "account_number_id": "account_number_1",
    "amount": 5000,
    "creditor": Party(name="Alex Smith", account_number="1234567890"),
    "creditor_agent": Agent(routing_number="111000111"),
    "description": None,
    "currency_code": "USD",
    "key": "key",
}
NO_FILTERS: dict[str, Any] = dict.fromkeys(
    [
        *("account_id", "account_number_id", "direction", "status", "counterparty_status", "return_request_status"),
        *("created_after", "created_on_or_after", "created_before", "created_on_or_before"),
        *("limit", "starting_after", "ending_before", "types", "object_id"),
    ]
)


def refused(call: Any, *args: Any, **kwargs: Any) -> dict[str, str]:
    """The fields that a call refuses, with the reasons."""
    with pytest.raises(InvalidRequestError) as caught:
        call(*args, **kwargs)
    return dict(caught.value.problems)


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("amount", 50.0, "amount"),
        ("amount", True, "amount"),
        ("amount", "5000", "amount"),
        ("amount", -1, "amount"),
        ("amount", 2**63, "amount"),
        ("account_number_id", "account_number_1/../x", "account_number_id"),
        ("account_number_id", "account_1", "account_number_id"),
        ("account_number_id", "account_number_é", "account_number_id"),
        ("account_number_id", "account_number_1\n", "account_number_id"),
        ("account_number_id", None, "account_number_id"),
        ("currency_code", "EUR", "currency_code"),
        ("creditor", {"name": "Alex Smith", "account_number": "1"}, "creditor"),
        ("creditor", Party(name="Al", account_number="1"), "creditor.name"),
        ("creditor", Party(name="A" * 36, account_number="1"), "creditor.name"),
        ("creditor", Party(name="\ud800\ud800\ud800", account_number="1"), "creditor.name"),
        ("creditor", Party(name="Alex", account_number=""), "creditor.account_number"),
        ("creditor", Party(name="Alex", account_number="1" * 18), "creditor.account_number"),
        ("creditor", Party(name="Alex", account_number=1234), "creditor.account_number"),  # type: ignore[arg-type]
        ("creditor_agent", "111000111", "creditor_agent"),
        ("creditor_agent", Agent(routing_number="11100011"), "creditor_agent.routing_number"),
        ("creditor_agent", Agent(routing_number="11100011\u0661"), "creditor_agent.routing_number"),
        ("creditor_agent", Agent(routing_number=111000111), "creditor_agent.routing_number"),  # type: ignore[arg-type]
        ("description", "d" * 141, "description"),
        ("description", 5, "description"),
        ("key", "", "idempotency_key"),
        ("key", "k" * 256, "idempotency_key"),
        ("key", "line\nbreak", "idempotency_key"),
        ("key", " spaces ", "idempotency_key"),
        ("key", "schlüssel", "idempotency_key"),
        ("key", b"key", "idempotency_key"),
    ],
)
def test_a_wrong_value_is_refused_by_its_field(field: str, value: Any, named: str) -> None:
    """The field is named, and the value is not shown."""
    problems = refused(requests.send, **{**GOOD, field: value})
    assert list(problems) == [named]
    assert repr(value) not in problems[named]


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
            **GOOD,
            "account_number_id": Safe("account_number_1"),
            "creditor": Party(name=Safe("Zoë Smith"), account_number=Safe("1")),
            "description": Safe("rent"),
        }
    )
    body = orjson.loads(request.body or b"")
    assert (body["account_number_id"], body["description"]) == ("account_number_1", "rent")
    assert body["creditor"] == {"name": "Zoë Smith", "account_number": "1"}


def test_all_faults_are_named_at_once_and_the_key_is_kept() -> None:
    """One round of mending is enough."""
    with pytest.raises(InvalidRequestError) as caught:
        requests.send(**{**GOOD, "amount": 1.5, "description": "d" * 141})
    assert [problem.parameter for problem in caught.value.problems] == ["amount", "description"]
    assert caught.value.idempotency_key == "key"


@pytest.mark.parametrize(
    ("kind", "reason", "text", "fields"),
    [
        (requests.RETURN, "duplication", None, []),
        (requests.RETURN, "duplicate", None, ["reason"]),
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
        assert list(refused(requests.reasoned_request, kind, "instant_payment_1", reason, text, "k")) == fields
    else:
        body = orjson.loads(requests.reasoned_request(kind, "instant_payment_1", reason, text, "k").body or b"")
        assert body == ({"reason": reason} if text is None else {"reason": reason, "additional_information": text})


def test_an_older_spelling_is_refused_with_the_current_one() -> None:
    """The mistake is mended in one look."""
    problems = refused(requests.reasoned_request, requests.RETURN, "instant_payment_1", "fraudulent", None, "k")
    assert "now fraud_suspected" in problems["reason"]


@pytest.mark.parametrize("bad", ["instant_payment_1/cancel", "event_1", "", None, "instant_payment_1?x=1"])
def test_an_id_that_is_none_never_becomes_part_of_a_url(bad: Any) -> None:
    """In every call that takes one."""
    for call in (requests.retrieve, requests.retrieve_event):
        value = f"x{bad}" if bad == "event_1" else bad
        assert len(refused(call, value)) == 1
    assert list(refused(requests.cancel, bad, "k")) == ["payment_id"]
    assert list(refused(requests.check_availability, bad)) == ["routing_number"]


def test_the_simulations_are_checked_too() -> None:
    """Their own fields included; the optional ones may be left out."""
    base = {key: GOOD[key] for key in ("account_number_id", "amount", "description", "key")}
    debtor = {"debtor": GOOD["creditor"], "debtor_agent": GOOD["creditor_agent"], "end_to_end_id": None}
    assert b"end_to_end_id" not in (requests.simulate_incoming(**base, **debtor).body or b"")
    assert list(refused(requests.simulate_incoming, **base, **{**debtor, "end_to_end_id": "e" * 36})) == [
        "end_to_end_id"
    ]
    fields = refused(requests.simulate, requests.INCOMING_RETURN, "x", key="k", reason="duplication")
    assert list(fields) == ["payment_id", "amount"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", 0),
        ("limit", 101),
        ("limit", True),
        ("account_id", "x"),
        ("account_number_id", "account_1"),
        ("direction", "sideways"),
        ("status", 5),
        ("counterparty_status", "created"),
        ("return_request_status", "open"),
        ("starting_after", "event_1"),
        ("ending_before", "x"),
        ("created_after", datetime(2026, 1, 1)),  # noqa: DTZ001 - the missing zone is the fault
        ("created_before", "2026-01-01"),
        ("created_before", datetime.max.replace(tzinfo=timezone(timedelta(hours=-4)))),
    ],
)
def test_a_wrong_filter_is_refused_by_its_name(name: str, value: Any) -> None:
    """Before any request leaves."""
    assert list(refused(queries.payments, {**NO_FILTERS, name: value})) == [name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("types", "ach.posted"),
        ("types", []),
        ("types", 5),
        ("types", ["ach.postd"]),
        ("types", [5]),
        ("object_id", "x"),
    ],
)
def test_a_wrong_filter_of_events_is_refused_by_its_name(name: str, value: Any) -> None:
    """The same for the other list."""
    assert list(refused(queries.events, {**NO_FILTERS, name: value})) == [name]


def test_good_filters_become_a_query() -> None:
    """Those that are left out are not sent; two cursors at once are refused."""
    assert queries.payments(NO_FILTERS) == {}
    assert queries.events(NO_FILTERS) == {}
    assert queries.request("/v1/event", {}).path == "/v1/event"
    query = queries.payments({**NO_FILTERS, "account_id": "account_1", "status": "posted", "limit": 100})
    assert query == {"limit": 100, "account_id": "account_1", "status": "posted"}
    cursors = {"starting_after": "instant_payment_1", "ending_before": "instant_payment_2"}
    assert list(refused(queries.payments, {**NO_FILTERS, **cursors})) == ["ending_before"]
    late = datetime(2026, 1, 1, tzinfo=UTC)
    assert queries.events({**NO_FILTERS, "created_before": late}) == {"created_at[before]": "2026-01-01T00:00:00Z"}


def test_pauses_grow_up_to_the_cap_and_stay_below_the_deadline() -> None:
    """Full jitter: from nothing to the exponential pause."""
    policy = RetryPolicy(max_attempts=100, base=1.0, cap=8.0)
    assert [policy.wait(n, left=60, random=1.0) for n in (1, 2, 3, 4, 5, 99)] == [1, 2, 4, 8, 8, 8]
    assert policy.wait(4, left=60, random=0.0) == 0
    assert policy.wait(4, left=8, random=1.0) is None
    assert policy.wait(100, left=60, random=0.0) is None
    assert policy.wait(1, left=60, random=0.5, retry_after=30.0) == 30
    assert policy.wait(1, left=60, random=0.5, retry_after=0.1) == 0.5


@pytest.mark.parametrize(
    "bad", [{"max_attempts": 0}, {"max_attempts": 2.5}, {"base": -1}, {"base": 9.0}, {"cap": float("inf")}]
)
def test_a_policy_that_makes_no_sense_is_refused(bad: dict[str, Any]) -> None:
    """When it is made, not when it is needed."""
    with pytest.raises(ConfigurationError):
        RetryPolicy(**bad)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("1" * 10, None),
        ("-5", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:01:40 -0000", 40.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("Thu, 99 Jan 1970 00:00:10 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, seconds: float | None) -> None:
    """Seconds, or a date; what cannot be read asks for nothing."""
    assert retry_after(header, now=60.0) == seconds

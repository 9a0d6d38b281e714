"""The query of a list, for whatever filters it is given."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadpay.client import queries
from leadpay.errors import (
    InvalidRequestError,
)
from tests.support.scripted_transport import (
    Bank,
)
from tests.support.validation import problems_of

PAYMENTS = (
    *("account_id", "account_number_id", "direction", "status", "counterparty_status", "return_request_status"),
    *("created_after", "created_on_or_after", "created_before", "created_on_or_before"),
    *("limit", "starting_after", "ending_before"),
)
EVENTS = ("types", "object_id", *PAYMENTS[6:])
anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.lists(st.text())
    | st.datetimes()
)


def filters(names: tuple[str, ...], **given_ones: Any) -> dict[str, Any]:
    """All filters, most of them left out."""
    missing = {"counterparty_status": queries.ANY} if "counterparty_status" in names else {}
    return {**dict.fromkeys(names), **missing, **given_ones}


@given(st.sampled_from(PAYMENTS), anything)
def test_any_value_of_a_filter_of_payments_is_sent_or_refused_by_its_name(name: str, value: Any) -> None:
    """Never another error; what is sent is what was given."""
    try:
        query = queries.payments(**filters(PAYMENTS, **{name: value}))
    except InvalidRequestError as error:
        assert [problem.parameter for problem in error.problems] == [name]  # noqa: PT017 - both ends are fine
    else:
        null = ["null"] if name == "counterparty_status" else []
        assert list(query.values()) == (null if value is None else [value])


@given(st.sampled_from(EVENTS), anything)
def test_any_value_of_a_filter_of_events_is_sent_or_refused_by_its_name(name: str, value: Any) -> None:
    """The same for events."""
    try:
        query = queries.events(**filters(EVENTS, **{name: value}))
    except InvalidRequestError as error:
        assert [problem.parameter for problem in error.problems] == [name]  # noqa: PT017 - both ends are fine
    else:
        assert len(query) == (value is not None)


def test_null_and_any_are_two_counterparty_statuses() -> None:
    """The bank can be asked for payments without one: an outgoing one that has not posted has none."""
    assert queries.payments(**filters(PAYMENTS, counterparty_status=None)) == {"counterparty_status": "null"}
    assert queries.payments(**filters(PAYMENTS, counterparty_status="any")) == {}


def test_new_words_can_be_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """Where the caller says so; a listed one needs no word of it, and each new one is logged."""
    for name in ("direction", "status", "counterparty_status", "return_request_status"):
        given_one = filters(PAYMENTS, **{name: "brand_new"})
        assert "say unlisted=True" in problems_of(queries.payments, **given_one)[name]
        assert queries.payments(**given_one, unlisted=True) == {name: "brand_new"}
        assert caplog.messages == [f"list: {name}=brand_new is not on the list of this version"]
        caplog.clear()
        assert list(problems_of(queries.payments, **filters(PAYMENTS, **{name: "a b"}), unlisted=True)) == [name]
    types = filters(EVENTS, types=["instant_payment.posted", "instant_payment.brand_new"])
    assert "say unlisted=True" in problems_of(queries.events, **types)["types"]
    assert queries.events(**types, unlisted=True) == {"events": types["types"]}
    kinds = filters(EVENTS, object_id="card_1")
    assert list(problems_of(queries.events, **kinds)) == ["object_id"]
    assert queries.events(**kinds, unlisted=True) == {"object_id": "card_1"}
    assert len(caplog.messages) == 2
    assert queries.events(**filters(EVENTS, object_id="ach_1"), unlisted=True) == {"object_id": "ach_1"}
    assert len(caplog.messages) == 2
    assert list(problems_of(queries.events, **filters(EVENTS, object_id="card 1"), unlisted=True)) == ["object_id"]


@given(st.datetimes(timezones=st.timezones() | st.sampled_from([timezone(timedelta(hours=h)) for h in (-23, 23)])))
def test_an_aware_time_is_sent_as_the_same_moment_in_utc(moment: datetime) -> None:
    """At the ends of the calendar it is refused, as there is no such moment in UTC."""
    try:
        query = queries.payments(**filters(PAYMENTS, created_on_or_after=moment))
    except InvalidRequestError:
        assert moment.year in {1, 9999}
        return
    sent = query["created_at[on_or_after]"]
    assert sent.endswith("Z")
    assert datetime.fromisoformat(sent) == moment.astimezone(UTC)


@pytest.mark.parametrize(("year", "month", "day", "offset"), [(1, 1, 1, 5), (9999, 12, 31, -23)])
def test_a_time_beyond_the_calendar_in_utc_is_problems_of(year: int, month: int, day: int, offset: int) -> None:
    """By its name, and not with an OverflowError."""
    beyond = datetime(year, month, day, 1 if year == 1 else 23, tzinfo=timezone(timedelta(hours=offset, minutes=1)))
    with pytest.raises(InvalidRequestError, match="created_before: must be within"):
        queries.payments(**filters(PAYMENTS, created_before=beyond))


def test_a_query_survives_its_encoding() -> None:
    """Brackets, colons and repeated names come out as they went in, and a bare list has no question mark."""
    query = {"events": ["ach.posted", "wire.posted"], "created_at[after]": "2027-01-01T00:00:00Z", "limit": 5}
    request = queries.request("/v1/event", query)
    assert parse_qs(urlsplit(request.path).query) == {
        "events": ["ach.posted", "wire.posted"],
        "created_at[after]": ["2027-01-01T00:00:00Z"],
        "limit": ["5"],
    }
    assert (request.method, request.key, request.body) == ("GET", None, None)
    assert queries.request("/v1/event", {}).path == "/v1/event"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", 0),
        ("limit", 101),
        ("limit", True),
        ("account_id", "x"),
        ("account_id", "account_number_1"),
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
    assert list(problems_of(queries.payments, **filters(PAYMENTS, **{name: value}))) == [name]


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
    assert list(problems_of(queries.events, **filters(EVENTS, **{name: value}))) == [name]


def test_good_filters_become_a_query() -> None:
    """Those that are left out are not sent; two cursors at once are refused."""
    assert queries.payments(**filters(PAYMENTS)) == {}
    assert queries.events(**filters(EVENTS)) == {}
    assert queries.request("/v1/event", {}).path == "/v1/event"
    query = queries.payments(**filters(PAYMENTS, account_id="account_1", status="posted", limit=100))
    assert query == {"limit": 100, "account_id": "account_1", "status": "posted"}
    cursors = {"starting_after": "instant_payment_1", "ending_before": "instant_payment_2"}
    assert list(problems_of(queries.payments, **filters(PAYMENTS, **cursors))) == ["ending_before"]
    late = datetime(2026, 1, 1, tzinfo=UTC)
    assert queries.events(**filters(EVENTS, created_before=late)) == {"created_at[before]": "2026-01-01T00:00:00Z"}


@pytest.mark.asyncio
async def test_times_are_sent_in_utc() -> None:
    """Whatever their zone was."""
    bank = Bank({"objects": [], "has_more": False})
    at: Callable[[int], datetime] = lambda hour: datetime(2027, 1, 1, hour, tzinfo=UTC)  # noqa: E731 - four of them
    await bank.payments.list(
        created_after=at(1), created_on_or_after=at(2), created_before=at(3), created_on_or_before=at(4)
    )
    assert "created_at%5Bafter%5D=2027-01-01T01%3A00%3A00Z" in bank.sent[0][0].path

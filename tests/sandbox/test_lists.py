"""Filters, limits and both cursors of the two lists, and how long events are kept."""

from typing import Any

import pytest

from tests.sandbox.desk import PAYMENTS, Desk

EVENTS = "/v1/event"


def ids(page: Any) -> list[str]:
    """The IDs on a page."""
    return [one["id"] for one in page["objects"]]


def test_pages_follow_either_cursor(desk: Desk) -> None:
    """Newest first, without gap or overlap, ``has_more`` in the direction in which one walks."""
    made = [desk.send(amount=number)["id"] for number in range(7)]
    newest = made[::-1]
    assert [payment.id for payment in desk.bank.payments.all()] == made
    first = desk.ask("GET", PAYMENTS, query=[("limit", "3")])
    assert (ids(first), first["has_more"]) == (newest[:3], True)
    second = desk.ask("GET", PAYMENTS, query=[("limit", "4"), ("starting_after", newest[2])])
    assert (ids(second), second["has_more"]) == (newest[3:], False)
    back = desk.ask("GET", PAYMENTS, query=[("limit", "2"), ("ending_before", newest[3])])
    assert (ids(back), back["has_more"]) == (newest[1:3], True)
    rest = desk.ask("GET", PAYMENTS, query=[("ending_before", newest[1])])
    assert (ids(rest), rest["has_more"]) == (newest[:1], False)


def test_every_filter_of_payments_filters(desk: Desk) -> None:
    """Each alone finds what it should and nothing else."""
    posted, held = desk.send(), desk.send_to("9900000001", account_number_id="account_number_other")
    bounced = desk.send_to("9900004001")
    desk.wait()
    came = desk.receive()
    desk.simulate(came, "incoming_return_request", reason="duplication")
    back = desk.read(bounced)["related_objects"]["return_payment_ids"][0]

    def found(name: str, value: str) -> set[str]:
        return set(ids(desk.ask("GET", PAYMENTS, query=[(name, value)])))

    assert found("account_number_id", "account_number_other") == {held["id"]} == found("account_id", "account_other")
    assert found("direction", "incoming") == {came["id"], back}
    assert found("status", "canceled") == set()
    assert found("counterparty_status", "rejected") == {bounced["id"]}
    assert found("counterparty_status", "posted") == {posted["id"], held["id"]}
    assert found("return_request_status", "response_needed") == {came["id"]}
    assert found("created_at[on_or_after]", came["created_at"]) == {came["id"]}
    assert found("created_at[after]", came["created_at"]) == set()
    assert found("created_at[on_or_before]", posted["created_at"]) == {posted["id"], held["id"], bounced["id"]}
    assert found("created_at[before]", posted["created_at"]) == set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "ten"),
        ("status", "lost"),
        ("account_id", "xyz"),
        ("starting_after", "xyz"),
        ("starting_after", "instant_payment_nowhere"),
        ("created_at", "2025-01-01T00:00:00Z"),
        ("created_at[after]", "yesterday"),
        ("created_at[after]", "2025-13-01T00:00:00Z"),
        ("created_at[before]", "2025-01-01T00:00:00"),
    ],
)
def test_a_wrong_filter_is_named(desk: Desk, name: str, value: str) -> None:
    """422, since the lists know no 400."""
    assert desk.refused("GET", PAYMENTS, query=[(name, value)]) == (422, "parameters_invalid", [name])


def test_both_cursors_at_once_are_refused(desk: Desk) -> None:
    """There is no page between them."""
    sent = desk.send()["id"]
    query = [("starting_after", sent), ("ending_before", sent)]
    assert desk.refused("GET", PAYMENTS, query=query)[2] == ["ending_before"]


def test_events_are_filtered_by_type_and_object(desk: Desk) -> None:
    """Types add up, whichever way a list is written; a time may have any offset and many digits."""
    one, other = desk.send(), desk.send_to("9900001001")
    desk.wait()
    types = [("events", "instant_payment.posted"), ("events[]", "instant_payment.rejected")]
    found = desk.ask("GET", EVENTS, query=types)["objects"]
    assert [event["event"] for event in found] == ["instant_payment.rejected", "instant_payment.posted"]
    assert {event["object"]["id"] for event in found} == {one["id"], other["id"]}
    about = desk.ask("GET", EVENTS, query=[("object_id", one["id"])])["objects"]
    assert [event["event"].rpartition(".")[2] for event in about] == ["counterparty_status_updated", "posted"]
    since = [("created_at[after]", "2025-01-06T10:00:01.000000999-05:00")]
    assert len(desk.ask("GET", EVENTS, query=since)["objects"]) == 1
    assert desk.refused("GET", EVENTS, query=[("events", "gone")])[2] == ["events"]
    assert desk.ask("GET", f"{EVENTS}/{found[0]['id']}") == found[0]


def test_an_event_shows_the_newest_version(desk: Desk) -> None:
    """Its object is not a snapshot: the event that it posted shows that it has arrived."""
    desk.send()
    desk.wait()
    posted = desk.ask("GET", EVENTS, query=[("events", "instant_payment.posted")])["objects"][0]
    assert posted["object"]["counterparty_status"] == "posted"


def test_events_are_kept_for_ninety_days(desk: Desk) -> None:
    """Then they are neither listed, in either direction, nor found."""
    desk.send()
    desk.wait(10)
    old = desk.ask("GET", EVENTS)["objects"]
    desk.wait(90 * 86_400)
    desk.token = desk.login()
    left = desk.ask("GET", EVENTS)
    assert (left["objects"], left["has_more"]) == ([], False)
    assert desk.refused("GET", f"{EVENTS}/{old[0]['id']}")[0] == 404
    desk.send()
    desk.wait()
    newer = desk.ask("GET", EVENTS, query=[("ending_before", old[-1]["id"])])
    assert len(newer["objects"]) == 2

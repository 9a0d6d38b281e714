"""Filters, limits and both cursors of the lists."""

from typing import Any

from tests.support.api_client import EVENTS, PAYMENTS, ApiClient


def ids(page: Any) -> list[str]:
    """The IDs on a page."""
    return [one["id"] for one in page["objects"]]


def test_pages_follow_either_cursor(api: ApiClient) -> None:
    """Pages have the newest first and no gap or overlap; ``has_more`` is about the direction of the cursor."""
    made = [api.send(amount=number)["id"] for number in range(7)]
    newest = made[::-1]
    assert [payment.id for payment in api.bank.payments.all()] == made
    first = api.call("GET", PAYMENTS, query=[("limit", "3")])
    assert (ids(first), first["has_more"]) == (newest[:3], True)
    second = api.call("GET", PAYMENTS, query=[("limit", "4"), ("starting_after", newest[2])])
    assert (ids(second), second["has_more"]) == (newest[3:], False)
    newer = api.call("GET", PAYMENTS, query=[("limit", "2"), ("ending_before", newest[3])])
    assert (ids(newer), newer["has_more"]) == (newest[1:3], True)
    rest = api.call("GET", PAYMENTS, query=[("ending_before", newest[1])])
    assert (ids(rest), rest["has_more"]) == (newest[:1], False)


def test_a_cursor_must_be_the_id_of_an_object(api: ApiClient) -> None:
    """An unknown ID is refused with 422 and named."""
    query = [("starting_after", "instant_payment_nowhere")]
    assert api.problem("GET", PAYMENTS, query=query) == (422, "parameters_invalid", ["starting_after"])


def test_every_filter_of_payments_filters(api: ApiClient) -> None:
    """Each filter alone finds its payments and no others."""
    posted, reviewed = api.send(), api.send_to("9900000001", account_number_id="account_number_other")
    rejected = api.send_to("9900004001")
    api.advance()
    incoming = api.receive()
    api.simulate(incoming, "incoming_return_request", reason="duplication")
    returned = api.retrieve(rejected)["related_objects"]["return_payment_ids"][0]

    def found(name: str, value: str) -> set[str]:
        return set(ids(api.call("GET", PAYMENTS, query=[(name, value)])))

    assert found("account_number_id", "account_number_other") == {reviewed["id"]}
    assert found("account_id", "account_other") == {reviewed["id"]}
    assert found("direction", "incoming") == {incoming["id"], returned}
    assert found("status", "canceled") == set()
    assert found("counterparty_status", "rejected") == {rejected["id"]}
    assert found("counterparty_status", "posted") == {posted["id"], reviewed["id"], incoming["id"], returned}
    assert found("counterparty_status", "null") == set()
    assert found("return_request_status", "response_needed") == {incoming["id"]}
    assert found("created_at[on_or_after]", incoming["created_at"]) == {incoming["id"]}
    assert found("created_at[after]", incoming["created_at"]) == set()
    assert found("created_at[on_or_before]", posted["created_at"]) == {posted["id"], reviewed["id"], rejected["id"]}
    assert found("created_at[before]", posted["created_at"]) == set()


def test_events_are_filtered_by_type_object_and_time(api: ApiClient) -> None:
    """Several types add up, with and without brackets in the parameter's name."""
    one, other = api.send(), api.send_to("9900001001")
    api.advance()
    types = [("events", "instant_payment.posted"), ("events[]", "instant_payment.rejected")]
    found = api.call("GET", EVENTS, query=types)["objects"]
    assert [event["event"] for event in found] == ["instant_payment.rejected", "instant_payment.posted"]
    assert {event["object"]["id"] for event in found} == {one["id"], other["id"]}
    of_one = api.call("GET", EVENTS, query=[("object_id", one["id"])])["objects"]
    assert [event["event"].rpartition(".")[2] for event in of_one] == ["counterparty_status_updated", "posted"]
    since = [("created_at[after]", "2025-01-06T10:00:01.000000999-05:00")]
    assert len(api.call("GET", EVENTS, query=since)["objects"]) == 1


def test_payments_without_a_counterparty_status_can_be_asked_for(api: ApiClient) -> None:
    """Those that have not posted have none."""
    api.send()
    api.advance()
    waiting = api.send()
    assert ids(api.call("GET", PAYMENTS, query=[("counterparty_status", "null")])) == [waiting["id"]]

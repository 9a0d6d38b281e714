"""Every sentence of the bank's guides, against the sandbox. The table is in ``guides.py``."""

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from leadpay import (
    AllowedCounterparty,
    AuthenticationError,
    BadRequestError,
    CounterpartyControls,
    CounterpartyFilter,
    Direction,
    InstantPayment,
    InstantPaymentControls,
    InvalidRequestError,
    RejectedBy,
    ResolvedBy,
    ReturnRequestStatus,
    Status,
    UnprocessableEntityError,
    WebhookRouter,
)
from leadpay.business_days import return_request_deadline
from leadpay.client.requests import RETURN_REASONS
from leadpay.sandbox import account_number
from leadpay.sandbox.openapi import description
from leadpay.webhooks.router import MANDATORY
from tests.scenarios.guides import GUIDES, NAMED, states
from tests.support.api_client import PAYMENTS, ApiClient
from tests.support.scene import Scene

ARRIVED = "counterparty_status_updated"
OURS = "account_number_1"
SENDING, RECEIVING, REJECTIONS = "Sending", "Receiving & Returning", "Rejections & Returns"
RETURN, LIST = "Return an instant payment", "List all instant payments"


def test_every_sentence_has_a_test_that_names_it() -> None:
    """Each paragraph is a heading or has sentences; each sentence is named, and no other is."""
    table = {(guide, sentence) for guide, (sentences, _) in GUIDES.items() for sentence in sentences}
    assert set(NAMED) == table
    for guide, (sentences, headings) in GUIDES.items():
        paragraphs = {int(sentence.partition(".")[0]) for sentence in sentences}
        assert not paragraphs & headings
        assert paragraphs | headings == set(range(1, max(paragraphs) + 1)), guide


# Sending.


@states(SENDING, "2.1", "2.2", "3.1", "4.1", "5.1", "9.3", "34.1", "36.1", "38.1")
@states(REJECTIONS, "1.1")
@pytest.mark.asyncio
async def test_a_payment_that_was_sent_comes_back_by_a_return_request_only(scene: Scene) -> None:
    """A posted payment cannot be canceled; its return can be requested, in the payment itself."""
    payments = scene.lead.instant_payments
    payment = await scene.send_to("1234567890")
    assert payment.status == Status.POSTED
    with pytest.raises(UnprocessableEntityError):
        await payments.cancel(payment.id)
    requested = await payments.request_return(payment.id, reason="fraud_suspected")
    assert requested.id == payment.id
    assert [one.status for one in requested.return_requests] == [ReturnRequestStatus.PENDING]
    waiting = await scene.send(description="not posted yet")
    with pytest.raises(UnprocessableEntityError):
        await payments.request_return(waiting.id, reason="duplication")


@states(SENDING, "9.1", "11.1", "12.1", "7.1", "17.1")
@pytest.mark.asyncio
async def test_a_bank_is_checked_and_a_payment_sent(scene: Scene) -> None:
    """The payment is outgoing and created, of which no webhook tells."""
    payments = scene.lead.instant_payments
    assert (await payments.check_availability("111000111")).available
    assert not (await payments.check_availability("990000404")).available
    scene.bank.next_payment("unsubmitted")
    payment = await scene.send()
    assert (payment.direction, payment.status) == (Direction.OUTGOING, Status.CREATED)
    await scene.clock.advance(60)
    assert scene.new_events() == []


@states(SENDING, "9.2", "9.4", "13.1", "19.1")
@pytest.mark.asyncio
@pytest.mark.parametrize("scenario", ["unsubmitted", "held"])
async def test_a_payment_can_be_canceled_until_it_is_submitted(scene: Scene, scenario: str) -> None:
    """While it is processed or under review; no webhook tells of it."""
    payment = await scene.send_to(account_number(scenario))
    scene.new_events()
    assert (await scene.lead.instant_payments.cancel(payment.id)).status == Status.CANCELED
    await scene.clock.advance(60)
    assert scene.new_events() == []


@states(SENDING, "15.1", "15.3", "15.4", "18.1", "20.1", "21.1", "23.1", "24.1", "25.1")
@states(SENDING, "27.1", "29.1", "30.1", "31.1", "32.1")
@states(REJECTIONS, "1.2", "1.3", "1.4")
@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("scenario", "webhooks", "moved"),
    [
        ("posted", ["posted", "counterparty posted"], True),
        ("reviewed", ["under_review", "posted", "counterparty posted"], True),
        ("reviewed_there", ["posted", "counterparty under_review", "counterparty posted"], True),
        ("rejected_by_lead:other", ["rejected by lead"], False),
        ("rejected_by_network:other", ["rejected by network"], False),
        ("rejected_by_counterparty:other", ["rejected by counterparty"], False),
        ("returned:other", ["posted", "counterparty rejected", "posted"], True),
    ],
)
async def test_each_change_of_an_outgoing_payment_has_a_webhook(
    scene: Scene, scenario: str, webhooks: list[str], moved: bool
) -> None:
    """The counterparty's statuses begin after posted, and funds move only then."""
    seen: list[str] = []
    payment = await scene.send(creditor=scene.party(account_number(scenario)))
    for _ in range(8):
        await scene.clock.advance(1)
        latest = await scene.lead.instant_payments.retrieve(payment.id)
        assert latest.counterparty_status is None or latest.status == Status.POSTED
        for name in scene.new_events():
            seen.append(name if name != ARRIVED else f"counterparty {latest.counterparty_status}")
            if name == "rejected" and latest.rejection is not None:
                seen[-1] = f"rejected by {latest.rejection.rejected_by}"
    assert seen == webhooks
    balance = scene.bank.bank.ledger.balance(OURS) - 10**14
    assert balance == (-payment.amount if moved and not scenario.startswith("returned") else 0)


@states(SENDING, "40.1", "42.1", "43.1", "44.1", "46.1", "48.1")
@pytest.mark.asyncio
@pytest.mark.parametrize("accepted", [True, False])
async def test_our_return_request_is_resolved_with_one_type_of_event(scene: Scene, accepted: bool) -> None:
    """It is pending without a webhook, then accepted or rejected with one."""
    payment = await scene.send_to("1234567890")
    await scene.lead.instant_payments.request_return(payment.id, reason="duplication")
    await scene.clock.advance(60)
    scene.new_events()
    if accepted:
        await scene.lead.simulate.incoming_return_request_acceptance(payment.id)
    else:
        await scene.lead.simulate.incoming_return_request_rejection(payment.id, reason="legal_decision")
    [request] = (await scene.after(payment)).return_requests
    assert request.status == ("accepted" if accepted else "rejected")
    assert request.resolution is not None
    assert request.resolution.resolved_by == ResolvedBy.COUNTERPARTY
    assert scene.new_events() == ["return_request_status_updated"]


# Receiving & Returning.


@states(RECEIVING, "1.1", "1.3", "2.1", "6.1", "8.1", "11.1", "12.1", "13.1", "18.1", "19.1", "20.1", "22.1")
@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("scenario", "webhooks"),
    [
        ("posted", ["posted"]),
        ("reviewed", ["under_review", "posted"]),
        ("rejected_by_lead:other", ["rejected"]),
        ("reviewed_and_rejected:other", ["under_review", "rejected"]),
    ],
)
async def test_each_status_of_an_incoming_payment_has_a_webhook(
    scene: Scene, scenario: str, webhooks: list[str]
) -> None:
    """Nothing else is needed of us; a rejection tells who and why."""
    scene.bank.next_payment(scenario, direction="incoming")
    payment = await scene.receive()
    assert payment.direction == Direction.INCOMING
    assert payment.status == webhooks[-1]
    assert scene.new_events() == webhooks
    assert (payment.rejection is None) == (webhooks[-1] == "posted")
    assert (await scene.after(payment, 20 * 86_400)).status == payment.status


@states(RECEIVING, "15.1", "15.2", "15.3", "34.2")
@pytest.mark.asyncio
async def test_two_events_are_mandatory(scene: Scene) -> None:
    """An incoming payment that posted, whose funds are available, and a return request."""
    assert {(str(name).removeprefix("instant_payment."), direction) for name, direction in MANDATORY} == {
        ("posted", "incoming"),
        ("return_request_response_needed", "incoming"),
    }
    assert len(WebhookRouter("nothing").unhandled_mandatory()) == 2
    payment = await scene.receive()
    assert scene.bank.bank.ledger.balance(OURS) == 10**14 + payment.amount


@states(RECEIVING, "22.2", "3.1", "24.1", "24.2", "25.1", "25.2", "27.1", "27.2", "30.1", "32.1", "34.1")
@states(RECEIVING, "39.1", "43.1")
@pytest.mark.asyncio
async def test_a_payment_has_several_return_requests_one_at_a_time(scene: Scene) -> None:
    """Each begins after the payment has posted, in the payment, with an event; to reject it has none."""
    scene.bank.next_payment("held", direction="incoming")
    payment = await scene.receive()
    with pytest.raises(UnprocessableEntityError):
        await scene.lead.simulate.incoming_return_request(payment.id, reason="duplication")
    scene.bank.release(payment.id)
    await scene.clock.advance(60)
    for number in range(1, 3):
        await scene.lead.simulate.incoming_return_request(payment.id, reason="duplication")
        latest = await scene.after(payment)
        with pytest.raises(UnprocessableEntityError):
            await scene.lead.simulate.incoming_return_request(payment.id, reason="duplication")
        assert len(latest.return_requests) == number
        assert latest.return_requests[-1].status == ReturnRequestStatus.RESPONSE_NEEDED
        assert scene.new_events()[-1] == "return_request_response_needed"
        rejected = await scene.lead.instant_payments.reject_return_request(payment.id, reason="legal_decision")
        resolution = rejected.return_requests[-1].resolution
        assert resolution is not None
        assert (resolution.resolved_by, resolution.rejection_reason) == (ResolvedBy.CLIENT, "legal_decision")
        await scene.clock.advance(60)
        assert scene.new_events() == []


@states(RECEIVING, "37.1", "40.1", "40.2", "50.1", "50.2")
@pytest.mark.asyncio
async def test_lead_rejects_a_request_that_got_no_response(scene: Scene) -> None:
    """At midnight after the tenth business day, whose 23:30 is the deadline, and without a webhook."""
    payment = await scene.receive()
    await scene.lead.simulate.incoming_return_request(payment.id, reason="duplication")
    [request] = (await scene.after(payment)).return_requests
    assert request.deadline == return_request_deadline(request.created_at)
    scene.new_events()
    day = return_request_deadline(request.created_at).date()
    midnight = datetime.combine(day + timedelta(days=1), time(), ZoneInfo("America/New_York"))
    left = midnight.timestamp() - scene.clock.now()
    assert (await scene.after(payment, left - 1)).active_return_request is not None
    [request] = (await scene.after(payment, 1)).return_requests
    assert request.resolution is not None
    assert (request.status, request.resolution.resolved_by) == ("rejected", ResolvedBy.LEAD)
    assert scene.new_events() == []


@states(RECEIVING, "1.2", "4.1", "31.1", "39.2", "45.1", "45.2", "53.1", "53.2", "55.2", "56.1", "56.2", "65.1")
@pytest.mark.asyncio
@pytest.mark.parametrize("posts", [True, False])
async def test_a_return_accepts_the_request_and_may_still_fail(scene: Scene, posts: bool) -> None:
    """The request is accepted once Lead has validated the return, without a webhook; money has moved if it posts."""
    payment = await scene.receive()
    await scene.lead.simulate.incoming_return_request(payment.id, reason="duplication")
    await scene.clock.advance(60)
    scene.new_events()
    scene.bank.next_payment("posted" if posts else "rejected_by_counterparty:account_closed")
    returned = await scene.lead.instant_payments.return_payment(payment.id, reason="honor_return_request")
    assert returned.direction == Direction.OUTGOING
    before = await scene.lead.instant_payments.retrieve(payment.id)
    assert before.return_requests[0].status == ReturnRequestStatus.RESPONSE_NEEDED
    latest = await scene.after(payment)
    assert latest.return_requests[0].status == ReturnRequestStatus.ACCEPTED
    assert scene.new_events() == (["posted", ARRIVED] if posts else ["rejected"])
    assert scene.bank.bank.ledger.balance(OURS) == 10**14 + (0 if posts else payment.amount)


@states(RECEIVING, "46.1", "47.1", "49.1", "55.1", "59.1", "60.1", "61.1", "62.1", "67.1", "67.2")
@states(RECEIVING, "70.1", "71.1", "72.1", "73.1")
@states(SENDING, "15.2")
@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("scenario", "webhooks"),
    [
        ("unsubmitted", []),
        ("posted", ["posted", ARRIVED]),
        ("reviewed", ["under_review", "posted", ARRIVED]),
        ("rejected_by_lead:other", ["rejected"]),
        ("rejected_by_network:other", ["rejected"]),
        ("rejected_by_counterparty:other", ["rejected"]),
    ],
)
async def test_a_return_is_an_outgoing_payment(scene: Scene, scenario: str, webhooks: list[str]) -> None:
    """It needs no request, has the statuses and webhooks of a payment, and cannot be canceled."""
    payment = await scene.receive()
    scene.new_events()
    scene.bank.next_payment(scenario)
    returned = await scene.lead.instant_payments.return_payment(payment.id, reason="customer_requested")
    assert (returned.status, returned.is_return) == (Status.CREATED, True)
    with pytest.raises(BadRequestError):
        await scene.lead.instant_payments.cancel(returned.id)
    await scene.clock.advance(60)
    assert scene.new_events() == webhooks


# Rejections & Returns.


@states(REJECTIONS, "3.1", "3.2", "4.1", "4.2", "6.1", "6.2", "7.1", "7.2")
@pytest.mark.asyncio
@pytest.mark.parametrize("by", ["lead", "network", "counterparty"])
async def test_a_payment_that_was_rejected_at_once_says_by_whom_and_why(scene: Scene, by: str) -> None:
    """In its rejection, which the .rejected webhook has; it may be sent again as another payment."""
    payment = await scene.send_to(account_number(f"rejected_by_{by}:account_closed"))
    [event] = scene.endpoint.events
    assert event["event"] == "instant_payment.rejected"
    assert event["object"]["rejection"]["rejected_by"] == by
    assert payment.rejection is not None
    assert (payment.rejection.rejected_by, payment.rejection.reason) == (RejectedBy(by), "account_closed")
    assert payment.rejection.details
    assert payment.counterparty_status is None
    assert scene.bank.bank.ledger.balance(OURS) == 10**14
    again = await scene.send()
    assert again.id != payment.id


@states(REJECTIONS, "9.1", "9.2", "9.3", "9.4", "10.1", "10.2")
@pytest.mark.asyncio
async def test_a_payment_that_was_rejected_later_is_returned(scene: Scene) -> None:
    """It stays posted, and does not change any more; its return is a payment that names it."""
    payment = await scene.send_to(account_number("returned:account_closed"))
    assert (payment.status, payment.counterparty_status) == ("posted", "rejected")
    assert payment.rejection is not None
    _, updated, posted = scene.endpoint.events
    assert updated["event"] == f"instant_payment.{ARRIVED}"
    assert updated["object"]["rejection"]["reason"] == "account_closed"
    assert posted["event"] == "instant_payment.posted"
    assert posted["object"]["direction"] == "incoming"
    assert posted["object"]["related_objects"]["original_payment_id"] == payment.id
    assert payment.return_payment_ids == (posted["object"]["id"],)
    assert await scene.after(payment, 86_400) == payment


@states(REJECTIONS, "12.1", "12.2", "12.3", "12.4", "14.2")
@pytest.mark.asyncio
async def test_controls_reject_an_incoming_payment(scene: Scene) -> None:
    """Until the account number's controls are updated, which is the only way to reject one."""
    numbers = scene.lead.account_numbers
    only_listed = CounterpartyControls(counterparty_filter=CounterpartyFilter.ALLOWLIST_ONLY)
    await numbers.update(OURS, instant_payment_controls=InstantPaymentControls(incoming=only_listed))
    rejected = await scene.receive()
    assert scene.new_events() == ["rejected"]
    assert rejected.rejection is not None
    assert (rejected.rejection.rejected_by, rejected.rejection.reason) == (
        RejectedBy.LEAD,
        "restricted_by_account_number_controls",
    )
    debtor = AllowedCounterparty(account_number="1234567890", routing_number="111000111")
    await numbers.allow(OURS, debtor, direction="incoming")
    assert (await scene.receive()).status == Status.POSTED


@states(REJECTIONS, "14.1", "14.3", "14.4")
@states(RETURN, "6.1", "7.1", "8.1")
@pytest.mark.asyncio
async def test_an_unwanted_payment_is_returned(scene: Scene) -> None:
    """By a new outgoing payment, which has a return, and a rejection if it was rejected."""
    payment = await scene.receive()
    scene.bank.next_payment("rejected_by_network:other")
    first = await scene.lead.instant_payments.return_payment(payment.id, reason="undue_payment")
    assert first.return_ is not None
    assert (first.id != payment.id, first.direction, first.return_.reason) == (True, "outgoing", "undue_payment")
    assert first.rejection is None
    assert (await scene.after(first)).rejection is not None
    second = await scene.lead.instant_payments.return_payment(payment.id, reason="undue_payment")
    assert (await scene.after(second)).status == Status.POSTED
    required = set(description()["components"]["schemas"]["Payment"]["required"])
    assert required <= {name.rstrip("_") for name in InstantPayment.__annotations__}


# The pages about two operations.


@states(RETURN, "1.1", "2.1", "3.1")
@states(LIST, "1.1")
def test_a_return_needs_a_token_a_key_and_a_payments_id(api: ApiClient) -> None:
    """401, 400 and 404."""
    payment, body = api.receive(), {"reason": "duplication"}
    path = f"{PAYMENTS}/{payment['id']}/return"
    assert api.problem("POST", path, body, authorization="")[0] == 401
    assert api.problem("GET", PAYMENTS, authorization="Bearer wrong")[0] == 401
    assert api.problem("POST", path, body, key=None)[:2] == (400, "idempotency_error")
    assert api.problem("POST", path, body, key="k" * 256)[:2] == (400, "idempotency_error")
    assert api.problem("POST", f"{PAYMENTS}/instant_payment_nowhere/return", body)[0] == 404
    assert api.call("POST", path, body, key="k" * 255)["direction"] == "outgoing"


@states(RETURN, "4.1", "5.1", "5.2")
@pytest.mark.asyncio
async def test_a_return_has_a_reason_of_eight_and_a_text_for_two(scene: Scene) -> None:
    """Here before it leaves, and at the bank as well."""
    assert len(RETURN_REASONS) == 8
    payments = scene.lead.instant_payments
    payment = await scene.receive()
    for reason in RETURN_REASONS:
        text = "x" * 140 if reason in {"narrative", "wrong_amount"} else None
        scene.bank.next_payment("rejected_by_network:other")
        assert (await payments.return_payment(payment.id, reason=reason, additional_information=text)).is_return
        await scene.clock.advance(60)
    bad: Any
    for bad, text in (("amount_too_low", None), ("narrative", None), ("wrong_amount", None), ("narrative", "x" * 141)):
        with pytest.raises(InvalidRequestError):
            await payments.return_payment(payment.id, reason=bad, additional_information=text)


@pytest.fixture
def api() -> ApiClient:
    """A bank in process."""
    return ApiClient()


@states(LIST, "2.1", "3.1", "4.1", "5.1", "6.1", "7.1", "8.1")
@pytest.mark.asyncio
async def test_payments_are_filtered(scene: Scene) -> None:
    """Each filter finds the payments that it names, and only those."""
    sent = await scene.send_to("1234567890")
    other = await scene.send(account_number_id="account_number_2")
    received = await scene.receive()
    await scene.lead.simulate.incoming_return_request(received.id, reason="duplication")
    waiting = await scene.after(await scene.send_to(account_number("unsubmitted")))

    async def found(**filters: Any) -> set[str]:
        return {one.id async for one in scene.lead.instant_payments.list(**filters)}

    assert await found() == {sent.id, other.id, received.id, waiting.id}
    assert await found(account_id="account_2") == {other.id}
    assert await found(account_number_id="account_number_2") == {other.id}
    assert await found(direction="incoming") == {received.id}
    assert await found(status="created") == {waiting.id}
    assert await found(counterparty_status="posted") == {sent.id, other.id, received.id}
    assert await found(return_request_status="response_needed") == {received.id}
    assert await found(created_after=received.created_at) == {waiting.id}
    assert await found(created_on_or_after=received.created_at) == {received.id, waiting.id}
    assert await found(created_before=received.created_at) == {sent.id, other.id}
    assert await found(created_on_or_before=received.created_at) == {sent.id, other.id, received.id}


@states(LIST, "6.1")
def test_payments_without_a_counterparty_status_are_found(api: ApiClient) -> None:
    """The filter may be null."""
    api.receive()
    waiting = api.send()
    listed = api.call("GET", PAYMENTS, query=[("counterparty_status", "null")])["objects"]
    assert [one["id"] for one in listed] == [waiting["id"]]


@states(LIST, "9.1", "10.1", "11.1", "12.1")
@pytest.mark.asyncio
async def test_payments_are_listed_in_pages(scene: Scene) -> None:
    """Ten on a page unless told, newest first, and both cursors walk over all of them."""
    payments = scene.lead.instant_payments
    ids = [(await scene.send(amount=number)).id for number in range(12)]
    page = await payments.list()
    assert ([one.id for one in page.objects], page.has_more) == (ids[:1:-1], True)
    rest = await payments.list(starting_after=page.objects[-1].id)
    assert ([one.id for one in rest.objects], rest.has_more) == (ids[1::-1], False)
    newer = await payments.list(ending_before=ids[9], limit=100)
    assert ({one.id for one in newer.objects}, newer.has_more) == (set(ids[10:]), False)
    for limit in (0, 101):
        with pytest.raises(InvalidRequestError):
            await payments.list(limit=limit)


@pytest.mark.asyncio
async def test_a_wrong_token_is_an_authentication_error(scene: Scene) -> None:
    """As the client sees it."""
    async with scene.bank.client(token="wrong", client_id=None, client_secret=None) as lead:
        with pytest.raises(AuthenticationError):
            await lead.instant_payments.list()

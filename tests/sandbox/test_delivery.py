"""Webhooks over real sockets: signed, in order, redelivered, and with faults."""

import asyncio

import pytest

from leadpay.sandbox import Sandbox
from leadpay.sandbox.delivery import _failure
from leadpay.sandbox.problems import ApiProblem
from tests.support.scene import Scene
from tests.support.webhook_endpoint import WebhookEndpoint

HOUR = 3600.0


@pytest.mark.asyncio
async def test_a_webhook_is_signed_as_the_bank_signs(scene: Scene) -> None:
    """Other code checks the signature; its time is when it was sent, in milliseconds."""
    await scene.send()
    await scene.clock.advance(10)
    assert scene.endpoint.types == ["posted", "counterparty_status_updated"]
    assert scene.endpoint.is_signed("whsec_test")
    assert not scene.endpoint.is_signed("whsec_other")
    assert scene.endpoint.times == [1_736_175_601_000, 1_736_175_602_000]
    assert scene.endpoint.headers[0]["Content-Type"] == "application/json"
    assert all(attempt.accepted for attempt in scene.bank.attempts)


@pytest.mark.asyncio
async def test_each_endpoint_can_have_its_own_secret(scene: Scene) -> None:
    """Each receives every event; one that fails does not delay the others."""
    async with WebhookEndpoint().listening() as other, WebhookEndpoint().listening() as third:
        scene.bank.add_webhook(other.url, "whsec_second")
        scene.bank.add_webhook(third.url)
        other.statuses = [500, 500]
        await scene.send()
        await scene.clock.advance(10)
        assert len(scene.endpoint.events) == len(other.events) == len(third.events) == 2
        assert other.is_signed("whsec_second")
        assert third.is_signed("whsec_test")


@pytest.mark.asyncio
async def test_a_failing_endpoint_gets_twenty_four_attempts_in_eighty_hours(scene: Scene) -> None:
    """They are three hours apart, and each is signed anew at its own time."""
    scene.endpoint.statuses = [500] * 1000
    scene.bank.next_payment("silent")
    await scene.send()
    await scene.clock.advance(80 * HOUR)
    assert scene.endpoint.types == ["posted"] * 24
    start = scene.endpoint.times[0]
    assert scene.endpoint.times == [start + number * 3 * 3_600_000 for number in range(24)]
    assert len({headers["Lead-Signature"] for headers in scene.endpoint.headers}) == 24
    assert scene.endpoint.is_signed("whsec_test")
    assert [attempt.number for attempt in scene.bank.attempts] == list(range(1, 25))
    await scene.clock.advance(1000 * HOUR)
    assert len(scene.endpoint.events) == 24


@pytest.mark.asyncio
async def test_an_endpoint_that_recovers_gets_each_event_once_more(scene: Scene) -> None:
    """Events come in order, three hours after they failed, with the newest version of the payment."""
    scene.endpoint.statuses = [503, 302]
    await scene.send()
    await scene.clock.advance(80 * HOUR)
    assert scene.endpoint.types == ["posted", "counterparty_status_updated"] * 2
    again = scene.endpoint.events[2]
    assert again["id"] == scene.endpoint.events[0]["id"]
    assert (scene.endpoint.events[0]["object"]["counterparty_status"], again["object"]["counterparty_status"]) == (
        None,
        "posted",
    )


@pytest.mark.asyncio
async def test_an_endpoint_that_cannot_be_reached_is_a_failed_attempt(scene: Scene) -> None:
    """So is an invalid URL."""
    scene.bank.webhook_url = "http://127.0.0.1:1/"
    scene.bank.add_webhook("nowhere")
    scene.bank.next_payment("silent")
    await scene.send()
    await scene.clock.advance(10)
    assert [(attempt.status, attempt.accepted) for attempt in scene.bank.attempts] == [(None, False)] * 2
    errors = [attempt.error or "" for attempt in scene.bank.attempts]
    assert sorted(error.partition(":")[0].partition(" cannot")[0] for error in errors) == [
        "No connection",
        "The endpoint's URL",
    ]


@pytest.mark.asyncio
async def test_events_of_one_payment_are_sent_one_after_the_other(scene: Scene) -> None:
    """While the endpoint handles the first, the second waits; those of other payments do not."""
    one = await scene.send()
    scene.bank.next_payment("silent")
    other = await scene.send()
    scene.endpoint.statuses = [500, 200]
    await scene.clock.advance(10)
    received = [
        (event["object"]["id"], kind) for event, kind in zip(scene.endpoint.events, scene.endpoint.types, strict=True)
    ]
    of_one = [kind for payment_id, kind in received if payment_id == one.id]
    assert of_one == ["posted", "counterparty_status_updated"]
    assert (other.id, "posted") in received


@pytest.mark.asyncio
async def test_a_webhook_may_be_sent_twice(scene: Scene) -> None:
    """Both have the same event ID."""
    scene.bank.faults.add("webhook_duplicate:1")
    await scene.send()
    await scene.clock.advance(10)
    assert scene.endpoint.types == ["posted", "posted", "counterparty_status_updated"]
    assert scene.endpoint.events[0]["id"] == scene.endpoint.events[1]["id"]


@pytest.mark.asyncio
async def test_a_webhook_may_be_delayed(scene: Scene) -> None:
    """The next one arrives before it."""
    scene.bank.faults.add("webhook_delayed:1:value=30")
    await scene.send()
    await scene.clock.advance(60)
    assert scene.endpoint.types == ["counterparty_status_updated", "posted"]
    assert scene.endpoint.times[1] - scene.endpoint.times[0] == 29_000


@pytest.mark.asyncio
async def test_webhooks_may_be_reordered(scene: Scene) -> None:
    """One is sent after the next one or, if there is none, after a while."""
    scene.bank.faults.add("webhook_reordered:1:value=5")
    await scene.send()
    await scene.clock.advance(60)
    assert scene.endpoint.types == ["counterparty_status_updated", "posted"]
    scene.bank.faults.add("webhook_reordered:1:value=5")
    scene.bank.next_payment("silent")
    await scene.send()
    await scene.clock.advance(60)
    assert scene.endpoint.types[2:] == ["posted"]


@pytest.mark.asyncio
async def test_a_redelivery_may_have_the_old_timestamp(scene: Scene) -> None:
    """It has the body and the signature of the first attempt, as from a bank that signs only once."""
    scene.bank.faults.add("webhook_old_timestamp:1")
    scene.endpoint.statuses = [500, 200, 500]
    await scene.send()
    await scene.clock.advance(10 * HOUR)
    first, _, again, fresh = [headers["Lead-Signature"] for headers in scene.endpoint.headers]
    assert first == again != fresh
    assert scene.endpoint.bodies[0] == scene.endpoint.bodies[2] != scene.endpoint.bodies[3]


@pytest.mark.asyncio
async def test_a_webhook_may_come_before_the_response(scene: Scene) -> None:
    """The receiver knows of the payment before the sender does."""
    scene.bank.faults.add("webhook_first:send:1")
    payment = await scene.send()
    assert scene.endpoint.types == ["posted"]
    assert scene.endpoint.events[0]["object"]["id"] == payment.id


@pytest.mark.asyncio
async def test_closing_cancels_deliveries(scene: Scene) -> None:
    """An endpoint that never responds does not delay the bank's end."""
    scene.endpoint.gate = asyncio.Event()
    async with Sandbox(delay=0, webhook_url=scene.endpoint.url) as bank, bank.client() as lead:
        await Scene(bank, lead, scene.endpoint, scene.clock).send()
        await scene.endpoint.arrived.wait()
    assert bank.attempts == []
    scene.endpoint.gate.set()


@pytest.mark.asyncio
async def test_an_attempt_says_what_was_sent_and_why_it_failed(scene: Scene) -> None:
    """Each has its request, its response and one sentence, and hooks are called with it."""
    called: list[int] = []
    scene.bank.on_attempt(lambda attempt: called.append(attempt.sequence))
    scene.endpoint.statuses = [500, 302, 200]
    scene.bank.next_payment("silent")
    await scene.send()
    await scene.clock.advance(10 * HOUR)
    assert called == [attempt.sequence for attempt in scene.bank.attempts] == [1, 2, 3]
    assert [attempt.error for attempt in scene.bank.attempts] == [
        "The endpoint responded with 500: only 2xx is accepted.",
        "The endpoint responded with 302: redirects are not followed, only 2xx is accepted.",
        None,
    ]
    assert all(0 < attempt.seconds < 5 and attempt.url == scene.endpoint.url for attempt in scene.bank.attempts)
    exchange = scene.bank.exchange(3)
    assert exchange is not None
    assert exchange.attempt is scene.bank.attempts[2]
    assert exchange.request_body == scene.endpoint.bodies[2]
    assert dict(exchange.headers)["Lead-Signature"] == scene.endpoint.headers[2]["Lead-Signature"]
    assert dict(exchange.response_headers)["Content-Length"] == "0"
    assert exchange.response_body == b""
    assert scene.bank.exchange(4) is None


@pytest.mark.asyncio
async def test_an_event_can_be_sent_again(scene: Scene) -> None:
    """It goes to every endpoint or to the one named, once, signed anew, with the newest version of its payment."""
    async with WebhookEndpoint().listening() as other:
        await scene.send()
        await scene.clock.advance(10)
        posted = scene.endpoint.events[0]["id"]
        [again] = await scene.bank.resend(posted)
        assert (again.event_id, again.number, again.accepted) == (posted, 2, True)
        assert scene.endpoint.events[-1]["object"]["counterparty_status"] == "posted"
        assert scene.endpoint.is_signed("whsec_test")
        other.statuses = [500]
        [elsewhere] = await scene.bank.resend(posted, other.url)
        assert (elsewhere.number, elsewhere.accepted, other.is_signed("whsec_test")) == (1, False, True)
        [third] = await scene.bank.resend(posted, scene.endpoint.url)
        assert third.number == 3
        await scene.clock.advance(80 * HOUR)
        assert len(other.events) == 1
    with pytest.raises(ApiProblem, match="No object"):
        await scene.bank.resend("event_nowhere")


@pytest.mark.asyncio
async def test_a_connection_that_breaks_and_a_body_that_does_not_come(scene: Scene) -> None:
    """The first is a failed attempt; for the second, the status is enough."""
    responses = [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"]

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(responses.pop(0))
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        scene.bank.webhook_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        scene.bank.next_payment("silent")
        await scene.send()
        await scene.clock.advance(10)
        await scene.bank.wait_idle()
        event_id = scene.bank.attempts[0].event_id
        assert scene.bank.attempts[0].error == "The connection broke before a response came."
        [again] = await scene.bank.resend(event_id)
        assert (again.status, again.error) == (200, None)


def test_a_response_that_does_not_come_in_time_is_named() -> None:
    """The sentence has the limit."""
    assert _failure(TimeoutError()) == "No response came within 10 seconds."

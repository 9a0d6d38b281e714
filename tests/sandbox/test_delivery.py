"""Webhooks over real sockets: signed, in order, redelivered, and disturbed on request."""

import asyncio

import pytest

from leadpay.sandbox import Sandbox
from tests.support.scene import Scene
from tests.support.webhook_endpoint import Ear

HOUR = 3600.0


@pytest.mark.asyncio
async def test_a_webhook_is_signed_as_the_bank_signs(scene: Scene) -> None:
    """Checked by other code, with the time of its sending in milliseconds."""
    await scene.send()
    await scene.clock.advance(10)
    assert scene.ear.types == ["posted", "counterparty_status_updated"]
    assert scene.ear.is_signed("whsec_test")
    assert not scene.ear.is_signed("whsec_other")
    assert scene.ear.times == [1_736_175_601_000, 1_736_175_602_000]
    assert scene.ear.headers[0]["Content-Type"] == "application/json"
    assert all(attempt.accepted for attempt in scene.bank.attempts)


@pytest.mark.asyncio
async def test_another_endpoint_has_its_own_secret(scene: Scene) -> None:
    """Each hears everything; one that fails does not hold up the other."""
    async with Ear().listening() as other, Ear().listening() as third:
        scene.bank.add_webhook(other.url, "whsec_second")
        scene.bank.add_webhook(third.url)
        other.answers = [500, 500]
        await scene.send()
        await scene.clock.advance(10)
        assert len(scene.ear.heard) == len(other.heard) == len(third.heard) == 2
        assert other.is_signed("whsec_second")
        assert third.is_signed("whsec_test")


@pytest.mark.asyncio
async def test_a_dead_endpoint_sees_twenty_four_attempts_in_eighty_hours(scene: Scene) -> None:
    """Three hours apart, each signed anew at its own time; then never again."""
    scene.ear.answers = [500] * 1000
    scene.bank.next_payment("silent")
    await scene.send()
    await scene.clock.advance(80 * HOUR)
    assert scene.ear.types == ["posted"] * 24
    start = scene.ear.times[0]
    assert scene.ear.times == [start + number * 3 * 3_600_000 for number in range(24)]
    assert len({headers["Lead-Signature"] for headers in scene.ear.headers}) == 24
    assert scene.ear.is_signed("whsec_test")
    assert [attempt.number for attempt in scene.bank.attempts] == list(range(1, 25))
    await scene.clock.advance(1000 * HOUR)
    assert len(scene.ear.heard) == 24


@pytest.mark.asyncio
async def test_an_endpoint_that_comes_back_hears_each_event_once_more(scene: Scene) -> None:
    """In order, three hours after each failed, with the newest version of the payment; and then no more."""
    scene.ear.answers = [503, 302]
    await scene.send()
    await scene.clock.advance(80 * HOUR)
    assert scene.ear.types == ["posted", "counterparty_status_updated"] * 2
    again = scene.ear.heard[2]
    assert again["id"] == scene.ear.heard[0]["id"]
    assert (scene.ear.heard[0]["object"]["counterparty_status"], again["object"]["counterparty_status"]) == (
        None,
        "posted",
    )


@pytest.mark.asyncio
async def test_nobody_there_is_a_failed_attempt(scene: Scene) -> None:
    """So is a URL that is none."""
    scene.bank.webhook_url = "http://127.0.0.1:1/"
    scene.bank.add_webhook("nowhere")
    scene.bank.next_payment("silent")
    await scene.send()
    await scene.clock.advance(10)
    assert [(attempt.status, attempt.accepted) for attempt in scene.bank.attempts] == [(None, False)] * 2


@pytest.mark.asyncio
async def test_events_of_one_payment_go_one_after_the_other(scene: Scene) -> None:
    """While the endpoint takes its time over the first, the second waits; other payments do not."""
    one = await scene.send()
    scene.bank.next_payment("silent")
    other = await scene.send()
    scene.ear.answers = [500, 200]
    await scene.clock.advance(10)
    heard = [(event["object"]["id"], kind) for event, kind in zip(scene.ear.heard, scene.ear.types, strict=True)]
    mine = [kind for payment_id, kind in heard if payment_id == one.id]
    assert mine == ["posted", "counterparty_status_updated"]
    assert (other.id, "posted") in heard


@pytest.mark.asyncio
async def test_a_webhook_may_come_twice(scene: Scene) -> None:
    """The same event, and one time only where one time was asked for."""
    scene.bank.faults.add("webhook_duplicate:1")
    await scene.send()
    await scene.clock.advance(10)
    assert scene.ear.types == ["posted", "posted", "counterparty_status_updated"]
    assert scene.ear.heard[0]["id"] == scene.ear.heard[1]["id"]


@pytest.mark.asyncio
async def test_a_webhook_may_come_late(scene: Scene) -> None:
    """After the one that followed it."""
    scene.bank.faults.add("webhook_delayed:1:value=30")
    await scene.send()
    await scene.clock.advance(60)
    assert scene.ear.types == ["counterparty_status_updated", "posted"]
    assert scene.ear.times[1] - scene.ear.times[0] == 29_000


@pytest.mark.asyncio
async def test_webhooks_may_come_in_another_order(scene: Scene) -> None:
    """After the next one or, if none comes, after a while."""
    scene.bank.faults.add("webhook_reordered:1:value=5")
    await scene.send()
    await scene.clock.advance(60)
    assert scene.ear.types == ["counterparty_status_updated", "posted"]
    scene.bank.faults.add("webhook_reordered:1:value=5")
    scene.bank.next_payment("silent")
    await scene.send()
    await scene.clock.advance(60)
    assert scene.ear.types[2:] == ["posted"]


@pytest.mark.asyncio
async def test_a_redelivery_may_carry_the_old_time(scene: Scene) -> None:
    """The same body and signature as the first, as a bank might that signs only once."""
    scene.bank.faults.add("webhook_old_timestamp:1")
    scene.ear.answers = [500, 200, 500]
    await scene.send()
    await scene.clock.advance(10 * HOUR)
    first, _, again, fresh = [headers["Lead-Signature"] for headers in scene.ear.headers]
    assert first == again != fresh
    assert scene.ear.bodies[0] == scene.ear.bodies[2] != scene.ear.bodies[3]


@pytest.mark.asyncio
async def test_a_webhook_may_come_before_the_answer(scene: Scene) -> None:
    """Whoever handles it knows the payment before the one who sent it does."""
    scene.bank.faults.add("webhook_first:send:1")
    payment = await scene.send()
    assert scene.ear.types == ["posted"]
    assert scene.ear.heard[0]["object"]["id"] == payment.id


@pytest.mark.asyncio
async def test_closing_gives_up_what_is_on_its_way(scene: Scene) -> None:
    """An endpoint that never answers does not hold the bank up."""
    scene.ear.gate = asyncio.Event()
    async with Sandbox(delay=0, webhook_url=scene.ear.url) as bank, bank.client() as lead:
        await Scene(bank, lead, scene.ear, scene.clock).send()
        await scene.ear.arrived.wait()
    assert bank.attempts == []
    scene.ear.gate.set()

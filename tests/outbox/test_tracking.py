"""Events move instructions on, in the commit that records the handler's run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from leadpay.inbox import Inbox
from leadpay.inbox.worker import Worker
from leadpay.models import Party
from leadpay.outbox import sending_queries as queries
from leadpay.outbox.attempts import accepted
from leadpay.outbox.store import Claim
from leadpay.outbox.tracking import CONSUMER, tracking_router
from leadpay.webhooks.event import parse
from tests.support.outbox import ACCOUNT, AGENT, CREDITOR, OutboxScene, open_outbox_scene, payment
from tests.support.postgres import open_manual
from tests.support.webhook_endpoint import WebhookEndpoint


class TrackedScene:
    """A scene whose outbox is told of the bank's events by an inbox in the same database."""

    def __init__(self, scene: OutboxScene, inbox: Inbox, endpoint: WebhookEndpoint) -> None:
        self.scene = scene
        self.inbox = inbox
        self.endpoint = endpoint

    async def deliver(self, *, moved: float = 0) -> None:
        """Let time pass, and let the inbox handle what the bank has told since."""
        if moved:
            await self.scene.move(moved)
        await self.scene.bank.wait_idle()
        bodies = list(self.endpoint.bodies)
        self.endpoint.bodies.clear()
        for body in bodies:
            event = parse(body)
            await self.inbox.add(event, body, received_at=event.created_at)
        worker = Worker(
            self.inbox, tracking_router(self.scene.outbox), consumer=CONSUMER, clock=self.scene.clock, retries=[]
        )
        await worker.run_due()

    async def claim(self) -> Claim:
        """Claim the instruction that is due, as a sender does that dies then."""
        outbox = self.scene.outbox
        plan = partial(queries.claim, limit=1, polls=0, lease=90, lifetime=3600, now=outbox.now())
        ((claimed,), _) = await outbox.store.run(plan)
        return claimed

    async def pay(self, claimed: Claim) -> str:
        """Send what was claimed, without writing the response down."""
        content: Any = claimed.instruction.content
        sent = await self.scene.lead.instant_payments.send(
            account_number_id=ACCOUNT,
            amount=content["amount"],
            creditor=Party(**content["creditor"]),
            creditor_agent=AGENT,
            idempotency_key=claimed.instruction.idempotency_key,
        )
        return sent.id


@asynccontextmanager
async def open_tracked(url: str) -> AsyncIterator[TrackedScene]:
    async with (
        WebhookEndpoint().listening() as endpoint,
        open_outbox_scene(url) as scene,
        open_manual(url) as inbox,
    ):
        scene.bank.add_webhook(endpoint.url)
        tracked = TrackedScene(scene, inbox, endpoint)
        await tracked.deliver()  # From now on the consumer is known.
        yield tracked


@pytest_asyncio.fixture
async def tracked(shared_url: str) -> AsyncIterator[TrackedScene]:
    async with open_tracked(shared_url) as opened:
        yield opened


async def outcome(tracked: TrackedScene) -> tuple[str, str | None]:
    """Give the state and the outcome of the instruction."""
    found = await tracked.scene.instruction()
    return found.state, found.outcome


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("account_number", "steps"),
    [
        ("123456789", [None, "arrived"]),
        ("9900002001", ["rejected"]),
        ("9900004001", [None, "rejected", "returned"]),
    ],
)
async def test_events_move_an_instruction_to_its_outcome(
    tracked: TrackedScene, account_number: str, steps: list[str | None]
) -> None:
    """Statuses, rejections, and the return that came back; then nothing is looked at any more."""
    await tracked.scene.outbox.send(**payment(creditor=Party(name="Ada Lovelace", account_number=account_number)))
    await tracked.scene.work()
    seen = []
    for _ in range(5):
        await tracked.deliver(moved=1)
        seen.append((await outcome(tracked))[1])
    assert [one for place, one in enumerate(seen) if place == 0 or one != seen[place - 1]] == steps
    ended = await tracked.scene.instruction()
    assert (ended.is_final, ended.next_at) == (True, None)
    assert "seen" in [one.action for one in await tracked.scene.outbox.history("invoice-1")]
    assert (ended.return_payment_id is not None) is (steps[-1] == "returned")


@pytest.mark.asyncio
async def test_an_event_before_the_response_resolves_the_instruction(tracked: TrackedScene) -> None:
    """It may be the only news, if the sender died; a definite response that comes later is kept, too."""
    await tracked.scene.outbox.send(**payment())
    claimed = await tracked.claim()
    payment_id = await tracked.pay(claimed)
    await tracked.deliver(moved=1)
    found = await tracked.scene.instruction()
    assert (found.state, found.payment_id) == ("accepted", payment_id)
    response = accepted(await tracked.scene.lead.instant_payments.retrieve(payment_id))
    finish = partial(queries.finish, claimed, response, now=tracked.scene.outbox.now())
    assert await tracked.scene.outbox.store.run(finish)
    assert (await tracked.scene.instruction()).payment_id == payment_id
    await tracked.deliver(moved=60)
    assert await outcome(tracked) == ("accepted", "arrived")


@pytest.mark.asyncio
async def test_a_response_that_names_another_payment_corrects_what_an_event_told(tracked: TrackedScene) -> None:
    """The response is to this very key; the event was about an equal payment that another program sent."""
    await tracked.scene.outbox.send(**payment())
    claimed = await tracked.claim()
    await tracked.scene.lead.instant_payments.send(
        account_number_id=ACCOUNT, amount=5000, creditor=CREDITOR, creditor_agent=AGENT
    )
    await tracked.deliver(moved=1)
    assert (await tracked.scene.instruction()).state == "accepted"
    ours = await tracked.pay(claimed)
    response = accepted(await tracked.scene.lead.instant_payments.retrieve(ours))
    finish = partial(queries.finish, claimed, response, now=tracked.scene.outbox.now())
    assert await tracked.scene.outbox.store.run(finish)
    assert (await tracked.scene.instruction()).payment_id == ours


@pytest.mark.asyncio
async def test_an_event_that_fits_two_instructions_resolves_none(tracked: TrackedScene) -> None:
    """Nothing is guessed: their keys are asked again."""
    for reference in ("invoice-1", "invoice-2"):
        await tracked.scene.outbox.send(**payment(reference=reference))
    first = await tracked.claim()
    await tracked.claim()
    payment_id = await tracked.pay(first)
    await tracked.deliver(moved=1)
    assert (await tracked.scene.instruction()).state == "sending"
    await tracked.deliver(moved=91)
    await tracked.scene.work()
    found = [await tracked.scene.instruction(f"invoice-{number}") for number in (1, 2)]
    assert [one.state for one in found] == ["accepted", "accepted"]
    assert found[0].payment_id == payment_id
    assert len(await tracked.scene.payments()) == 2


@pytest.mark.asyncio
async def test_another_instructions_payment_resolves_nothing(tracked: TrackedScene) -> None:
    """A repeated event about a payment that has its instruction is no news for an equal one in doubt."""
    await tracked.scene.outbox.send(**payment())
    await tracked.scene.work()
    tracked.scene.bank.faults.add("webhook_duplicate", times=5)
    await tracked.scene.outbox.send(**payment(reference="invoice-2"))
    await tracked.claim()
    await tracked.deliver(moved=60)
    assert (await tracked.scene.instruction("invoice-2")).state == "sending"


@pytest.mark.asyncio
async def test_an_older_payment_resolves_nothing(tracked: TrackedScene) -> None:
    """A payment that was created long before the first attempt was another's."""
    await tracked.scene.lead.instant_payments.send(
        account_number_id=ACCOUNT, amount=5000, creditor=CREDITOR, creditor_agent=AGENT
    )
    await tracked.scene.move(3600)
    await tracked.scene.outbox.send(**payment())
    await tracked.claim()
    await tracked.deliver()
    assert (await tracked.scene.instruction()).state == "sending"


@pytest.mark.asyncio
async def test_an_event_resolves_a_return_that_is_being_sent(tracked: TrackedScene) -> None:
    """By the payment that it returns."""
    await tracked.scene.lead.simulate.incoming(
        account_number_id=ACCOUNT, amount=7500, debtor=CREDITOR, debtor_agent=AGENT
    )
    await tracked.deliver(moved=60)
    (received,) = (await tracked.scene.lead.instant_payments.list(direction="incoming")).objects
    await tracked.scene.outbox.return_payment(received.id, reference="invoice-1", reason="duplication")
    claimed = await tracked.claim()
    returned = await tracked.scene.lead.instant_payments.return_payment(
        received.id, reason="duplication", idempotency_key=claimed.instruction.idempotency_key
    )
    await tracked.deliver(moved=60)
    found = await tracked.scene.instruction()
    assert (found.state, found.payment_id, found.outcome) == ("accepted", returned.id, "arrived")


@pytest.mark.asyncio
async def test_events_about_other_things_are_no_news(tracked: TrackedScene) -> None:
    """Even one of a payment's types, about something that is no payment."""
    body = b'{"id": "event_x", "created_at": "2026-01-01T00:00:00Z", "event": "instant_payment.added", "object": {}}'
    event = parse(body)
    await tracked.inbox.add(event, body, received_at=event.created_at)
    await tracked.deliver()
    assert (await tracked.scene.outbox.stats()).by_state == {}

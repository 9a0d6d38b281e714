"""A projection of payments, written with what a handler is given, ends the same however its events arrive."""

from collections import Counter
from itertools import permutations

import pytest

from leadpay.models import Event, InstantPaymentEvent
from leadpay.webhooks.context import Context
from tests.inbox.story import Bench

# A payment's five events: type, minute of creation, version of the object. Objects are the newest version when they
# were sent, so a late event can carry a newer one than an event that was created after it.
STORY = (
    ("event_1", "instant_payment.under_review", 1, 1),
    ("event_2", "instant_payment.posted", 2, 4),
    ("event_3", "instant_payment.counterparty_status_updated", 3, 3),
    ("event_4", "instant_payment.return_request_response_needed", 4, 5),
    ("event_5", "instant_payment.counterparty_status_updated", 5, 5),
)


class Projection:
    """What a partner might show of its payments."""

    def __init__(self) -> None:
        self.shown: dict[str, str] = {}
        self.counted: Counter[str] = Counter()

    async def show(self, event: Event, context: Context) -> None:
        """Keep the newest version."""
        assert isinstance(event, InstantPaymentEvent)
        if not context.is_stale:
            self.shown[event.payment.id] = event.payment.updated_at.isoformat()

    async def count(self, event: Event) -> None:
        """Count each event."""
        self.counted[event.id] += 1


@pytest.mark.asyncio
async def test_all_120_orders_of_arrival_end_in_the_same_state(bench: Bench) -> None:
    """Whether the worker runs after each arrival, in between, or only at the end; each order is a payment's own."""
    projection = Projection()
    bench.router.on("instant_payment.*")(projection.show)
    bench.router.on("instant_payment.*")(projection.count)
    for number, order in enumerate(permutations(STORY)):
        for step, (event_id, event_type, minute, version) in enumerate(order):
            await bench.receive(
                f"{event_id}_{number}",
                payment=f"instant_payment_{number}",
                event_type=event_type,
                minute=minute,
                version=version,
            )
            if number % 3 == 0 or (number % 3 == 1 and step == number % 5):
                await bench.work()
    await bench.work()
    assert projection.shown == {f"instant_payment_{number}": "2024-03-01T10:05:00+00:00" for number in range(120)}
    assert projection.counted == {f"{story[0]}_{number}": 1 for story in STORY for number in range(120)}

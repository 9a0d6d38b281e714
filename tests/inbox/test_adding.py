"""What every store promises: accepting, counting, and looking at what is there."""

import pytest

from leadpay.clock import utc_datetime
from leadpay.inbox import Inbox
from tests.inbox.story import NOW, RECEIVED, event_of


@pytest.mark.asyncio
async def test_an_event_is_kept_as_it_came(inbox: Inbox) -> None:
    """Bytes, times and names come back; the second time it is known."""
    event, body = event_of("event_1", payment="instant_payment_1")
    assert await inbox.add(event, body, received_at=RECEIVED)
    assert not await inbox.add(event, body, received_at=RECEIVED)
    kept = await inbox.get("event_1")
    assert kept is not None
    assert (kept.event_id, kept.subject, kept.type) == ("event_1", "instant_payment_1", "instant_payment.posted")
    assert (kept.body, kept.received_at, kept.created_at) == (body, RECEIVED, event.created_at)
    assert (kept.version, kept.state, kept.handlings, kept.reason) == (event.object.updated_at, "waiting", {}, None)
    assert "Gertrude" not in repr(kept)
    assert await inbox.get("event_2") is None


@pytest.mark.asyncio
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.2384185791015625, 0.7152557373046875])
async def test_an_event_is_due_when_it_comes(inbox: Inbox, fraction: float) -> None:
    """Also by a clock that stands still between two microseconds."""
    now = NOW + fraction * 1e-6
    event, body = event_of("event_1")
    await inbox.add(event, body, received_at=utc_datetime(now))
    assert len(await inbox.claim(1, now=now, lease=60)) == 1

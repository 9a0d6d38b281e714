"""Counts are counted as often as that is cheap."""

import pytest

from leadpay.console.counts import SHARE, Counts
from leadpay.sandbox import ManualClock


@pytest.mark.asyncio
async def test_a_slow_count_is_kept_for_longer() -> None:
    """What takes a second is kept for minutes, unless a person has changed something."""
    clock = ManualClock()
    count = 0

    async def slow() -> int:
        nonlocal count
        count += 1
        clock._now += 1
        return count

    counts = Counts(slow, clock)
    assert await counts.get() == 1
    clock._now += SHARE - 1
    assert await counts.get() == 1
    clock._now += 1
    assert await counts.get() == 2
    counts.forget()
    assert await counts.get() == 3

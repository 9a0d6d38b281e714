"""Counts are counted as often as that is cheap."""

import asyncio

import pytest

from leadpay.console.counts import SHARE, SLOW, Counts
from leadpay.sandbox import ManualClock


class Slow:
    """A count that takes its time."""

    def __init__(self, seconds: float) -> None:
        self.clock = ManualClock()
        self.seconds = seconds
        self.count = 0
        self.fails = False

    async def __call__(self) -> int:
        """Count."""
        self.clock._now += self.seconds
        if self.fails:
            raise OSError
        self.count += 1
        return self.count


@pytest.mark.asyncio
async def test_a_count_is_kept_for_longer_the_longer_it_takes() -> None:
    """Unless a person has changed something."""
    slow = Slow(SLOW / 2)
    counts = Counts(slow, slow.clock)
    assert await counts.get() == 1
    slow.clock._now += SHARE * slow.seconds - 0.001
    assert await counts.get() == 1
    slow.clock._now += 0.002
    assert await counts.get() == 2
    counts.forget()
    assert await counts.get() == 3


@pytest.mark.asyncio
async def test_no_page_waits_for_a_slow_count() -> None:
    """It shows the last one, and one task counts; a failure is left to the next count."""
    slow = Slow(1.0)
    counts = Counts(slow, slow.clock)
    assert await counts.get() == 1
    slow.clock._now += SHARE
    assert [await counts.get(), await counts.get()] == [1, 1]
    await asyncio.sleep(0)
    assert await counts.get() == 2
    slow.fails = True
    slow.clock._now += SHARE
    assert await counts.get() == 2
    await asyncio.sleep(0)
    slow.fails = False
    assert await counts.get() == 2
    await asyncio.sleep(0)
    assert await counts.get() == 3
    slow.clock._now += SHARE
    assert await counts.get() == 3
    assert counts._counting is not None
    counts._counting.cancel()
    await asyncio.sleep(0)

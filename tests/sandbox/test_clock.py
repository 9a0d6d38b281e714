"""The two clocks."""

import asyncio

import pytest

from leadpay.sandbox import ManualClock
from leadpay.sandbox.clock import RealClock


@pytest.mark.asyncio
async def test_a_manual_clock_does_not_go_backwards() -> None:
    """A negative number is refused."""
    with pytest.raises(ValueError, match="backwards"):
        await ManualClock().advance(-1)


@pytest.mark.asyncio
async def test_a_real_clock_has_both_scales() -> None:
    """The time of day, and seconds that never decrease."""
    clock = RealClock()
    assert clock.now() > 1_700_000_000
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before


@pytest.mark.asyncio
async def test_sleepers_wake_in_order_at_their_own_time() -> None:
    """A sleeper that sleeps again resumes within the same advance."""
    clock = ManualClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, *pauses: float) -> None:
        for pause in pauses:
            await clock.sleep(pause)
            woken.append((name, clock.monotonic()))

    tasks = [asyncio.create_task(sleeper("slow", 5)), asyncio.create_task(sleeper("fast", 2, 4))]
    await clock.advance(10)
    assert woken == [("fast", 2), ("slow", 5), ("fast", 6)]
    await asyncio.gather(*tasks)


@pytest.mark.asyncio
async def test_a_cancelled_sleeper_is_skipped() -> None:
    """A sleep of no time returns at once."""
    clock = ManualClock()
    await clock.sleep(0)
    sleeper = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    sleeper.cancel()
    await clock.advance(10)
    assert sleeper.cancelled()
    assert clock.monotonic() == 10


@pytest.mark.asyncio
async def test_a_hook_runs_at_each_time_until_it_is_removed() -> None:
    """The clock waits for it before it moves on."""
    clock = ManualClock()
    times: list[float] = []

    async def hook() -> None:
        times.append(clock.monotonic())

    remove = clock.on_advance(hook)
    await clock.advance(3)
    remove()
    await clock.advance(3)
    assert times == [0, 3]

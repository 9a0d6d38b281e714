"""The machine's own clock."""

import time

import pytest

from leadpay.clock import SystemClock


@pytest.mark.asyncio
async def test_the_system_clock_tells_the_machine_s_time() -> None:
    """It counts seconds since 1970, never goes backwards, and gives way for no time at all."""
    clock = SystemClock()
    assert abs(clock.now() - time.time()) < 5
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before

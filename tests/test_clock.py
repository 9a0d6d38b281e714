"""The machine's own clock."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadpay.clock import SystemClock, utc_datetime


@pytest.mark.asyncio
async def test_the_system_clock_tells_the_machine_s_time() -> None:
    """It counts seconds since 1970, never goes backwards, and gives way for no time at all."""
    clock = SystemClock()
    assert abs(clock.now() - time.time()) < 5
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before


@given(st.floats(0, 4e9))
def test_a_datetime_is_never_later_than_its_seconds(now: float) -> None:
    """It is at most two microseconds earlier."""
    assert 0 <= now - utc_datetime(now).timestamp() <= 2e-6

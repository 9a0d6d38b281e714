"""When a handler is paused, and when it is tried again."""

from leadpay.inbox.breaker import PAUSES, SLOW_FAILURES, SLOW_SECONDS, Breaker


def fail(breaker: Breaker, now: float, seconds: float = 60.0) -> float | None:
    """Make one attempt that fails."""
    assert breaker.allows(now)
    return breaker.end(is_probe=breaker.begin(), failed=True, seconds=seconds, now=now)


def test_slow_failures_in_a_row_open_it_and_longer_each_time() -> None:
    """Between two pauses there is one probe."""
    breaker, now = Breaker(), 1_000.0
    pauses = [fail(breaker, now) for _ in range(SLOW_FAILURES)]
    assert pauses == [None] * (SLOW_FAILURES - 1) + [PAUSES[0]]
    for expected in (*PAUSES[1:], PAUSES[-1]):
        assert not breaker.allows(breaker.open_until - 0.001)
        assert fail(breaker, breaker.open_until) == expected


def test_only_one_probe_is_made_at_a_time() -> None:
    """A second attempt waits for the result of the first one, and a cancelled one says nothing."""
    breaker = Breaker()
    for _ in range(SLOW_FAILURES):
        fail(breaker, 0.0)
    now = breaker.open_until
    assert breaker.begin()
    assert not breaker.allows(now)
    assert breaker.end(is_probe=True, failed=None, seconds=1.0, now=now) is None
    assert breaker.allows(now)
    assert breaker.begin()
    assert breaker.end(is_probe=True, failed=False, seconds=60.0, now=now) is None
    assert breaker.open_until == breaker.failures == 0
    assert fail(breaker, now) is None


def test_quick_failures_and_successes_are_no_reason() -> None:
    """Either shows that the handler responds."""
    for failed, seconds in ((True, SLOW_SECONDS / 2), (False, 60.0)):
        breaker = Breaker()
        for _ in range(3):
            for _ in range(SLOW_FAILURES - 1):
                assert fail(breaker, 0.0) is None
            assert breaker.end(is_probe=breaker.begin(), failed=failed, seconds=seconds, now=0.0) is None
        assert breaker.allows(0.0)


def test_attempts_that_began_before_the_pause_do_not_prolong_it() -> None:
    """They hung side by side, and all fail within the same second."""
    breaker = Breaker()
    probes = [breaker.begin() for _ in range(12)]
    pauses = [breaker.end(is_probe=one, failed=True, seconds=60.0, now=60.0) for one in probes]
    assert [one for one in pauses if one is not None] == [PAUSES[0]]
    assert breaker.open_until == 60.0 + PAUSES[0]

"""Timers run in order."""

from functools import partial

from leadpay.sandbox.timers import Timers


def test_timers_run_by_time_and_then_in_the_order_of_adding() -> None:
    """What is not yet due waits."""
    ran: list[str] = []
    timers = Timers()
    for due, name in ((2.0, "second"), (1.0, "first"), (2.0, "third"), (9.0, "later")):
        timers.add(due, partial(ran.append, name))
    assert timers.next_due == 1.0
    assert timers.run(2.0) == 3
    assert ran == ["first", "second", "third"]
    assert timers.next_due == 9.0


def test_a_timer_that_a_timer_adds_runs_in_the_same_pass() -> None:
    """It must be due as well."""
    ran: list[int] = []
    timers = Timers()
    timers.add(1.0, lambda: timers.add(1.5, lambda: ran.append(1)))
    assert timers.run(2.0) == 2
    assert (ran, timers.next_due) == ([1], None)


def test_background_timers_are_not_waited_for() -> None:
    """Only those in the foreground count."""
    timers = Timers()
    timers.add(1.0, lambda: None, background=True)
    assert not timers.has_foreground
    timers.add(2.0, lambda: None)
    assert timers.has_foreground
    timers.run(2.0)
    assert not timers.has_foreground


def test_run_now_makes_recent_foreground_timers_due() -> None:
    """Earlier ones and those in the background keep their time."""
    ran: list[str] = []
    timers = Timers()
    timers.add(50.0, lambda: ran.append("earlier"))
    first = timers.added
    timers.add(60.0, lambda: ran.append("recent"))
    timers.add(70.0, lambda: ran.append("deadline"), background=True)
    timers.run_now(first, now=10.0)
    timers.run(10.0)
    assert ran == ["recent"]

"""Crashes on demand, for tests: a sender stops at a named point, as if its process had been killed there."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, TypeAlias, get_args

CrashPoint: TypeAlias = Literal["between attempt and request", "between answer and commit"]
"""``between attempt and request``: the attempt is written down, and its request did not leave.
``between answer and commit``: the bank has responded, and the response is not written down."""

CRASH_POINTS: Final[tuple[CrashPoint, ...]] = get_args(CrashPoint)

_armed: list[CrashPoint] = []


class SimulatedCrash(BaseException):
    """Ends a sender where it stands: nothing that it holds is written down or given back."""


def reach(point: CrashPoint) -> None:
    """Say that a point is reached."""
    if point in _armed:
        _armed.remove(point)
        raise SimulatedCrash(point)


@contextmanager
def crash(point: CrashPoint) -> Iterator[None]:
    """Crash the first sender that reaches a point while the context lasts.

    Raises:
        ValueError: there is no such point.
        AssertionError: no sender has reached it.
    """
    if point not in CRASH_POINTS:
        raise ValueError(f"point: must be one of {', '.join(CRASH_POINTS)}")
    _armed.append(point)
    try:
        yield
    except SimulatedCrash:
        return
    finally:
        was_reached = point not in _armed
        if not was_reached:
            _armed.remove(point)
    if not was_reached:
        raise AssertionError(f"no sender came to the point {point!r}")

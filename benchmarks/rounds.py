"""Measuring in rounds: contestants take turns, so that what disturbs the machine disturbs them alike."""

import gc
from collections.abc import Awaitable, Callable, Sequence
from statistics import median, quantiles
from typing import NamedTuple, TypeAlias

Run: TypeAlias = Callable[[int], Awaitable[float]]
"""Does the work so many times, and gives what it cost in all: seconds, most often."""


class Contestant(NamedTuple):
    """Somebody who does the work."""

    name: str
    run: Run
    goal: str = ""
    """What is wanted of the ratio, such as ``<= 1.6``; empty for those who are only beside it."""


class Result(NamedTuple):
    """What a contestant's rounds came to."""

    name: str
    values: tuple[float, ...]
    """One number a round, in the answer's unit."""
    ratios: tuple[float, ...]
    """Each divided by the first contestant's of the same round; empty where there is nothing to compare with."""
    goal: str = ""

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return median(self.values)

    @property
    def spread(self) -> float:
        """The middle half of the rounds, as a part of the median."""
        return _spread(self.values)

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios."""
        return median(self.ratios) if self.ratios else None

    @property
    def reached(self) -> bool | None:
        """Whether the goal was reached; None where there is none."""
        if not self.goal:
            return None
        sign, limit = self.goal.split()
        value = self.median if self.ratio is None else self.ratio
        return value <= float(limit) if sign == "<=" else value >= float(limit)


class Answer(NamedTuple):
    """The results of one question."""

    question: str
    unit: str
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()


def _spread(values: Sequence[float]) -> float:
    if len(values) < 2:  # noqa: PLR2004 - one value has no spread
        return 0.0
    low, _, high = quantiles(values, n=4, method="inclusive")
    return (high - low) / median(values) if median(values) else 0.0


def compare(names: Sequence[str], rounds: Sequence[Sequence[float]], goals: Sequence[str]) -> tuple[Result, ...]:
    """Make results of a table with a row for each round and a column for each contestant, the floor first."""
    columns = list(zip(*rounds, strict=True))
    floor = columns[0]
    return tuple(
        Result(name, column, tuple(one / base for one, base in zip(column, floor, strict=True)), goal)
        for name, column, goal in zip(names, columns, goals, strict=True)
    )


async def take_turns(contestants: Sequence[Contestant], *, rounds: int, times: int) -> tuple[Result, ...]:
    """Let everybody do the work ``times`` times, ``rounds`` times, in an order that turns from round to round."""
    for one in contestants:
        await one.run(max(1, times // 10))  # caches, specialised bytecode, connections
    # Nobody pays for the garbage collector's walks through everybody else's modules.
    gc.collect()
    gc.freeze()
    table = []
    for number in range(rounds):
        row = [0.0] * len(contestants)
        for turn in range(len(contestants)):
            index = (turn + number) % len(contestants)
            row[index] = await contestants[index].run(times) / times
        table.append(row)
    return compare([one.name for one in contestants], table, [one.goal for one in contestants])

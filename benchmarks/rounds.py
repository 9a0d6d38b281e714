"""Measuring in rounds. Contestants alternate, so that a disturbance of the machine affects all of them."""

import gc
from collections.abc import Awaitable, Callable, Sequence
from statistics import median, quantiles
from typing import NamedTuple, TypeAlias

Run: TypeAlias = Callable[[int], Awaitable[float]]
"""Does the work the given number of times and returns the total cost, usually in seconds."""


class Contestant(NamedTuple):
    """One implementation of the work."""

    name: str
    run: Run
    goal: str = ""
    """The limit of the ratio, such as ``<= 1.6``; empty for peers."""


class Result(NamedTuple):
    """The rounds of one contestant."""

    name: str
    values: tuple[float, ...]
    """One number per round, in the unit of the report."""
    ratios: tuple[float, ...]
    """Each value divided by the first contestant's value of the same round; empty without a comparison."""
    goal: str = ""

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return median(self.values)

    @property
    def spread(self) -> float:
        """The interquartile range as a fraction of the median."""
        return _spread(self.values)

    @property
    def ratio(self) -> float | None:
        """The median of the ratios."""
        return median(self.ratios) if self.ratios else None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        if not self.goal:
            return None
        sign, limit = self.goal.split()
        value = self.median if self.ratio is None else self.ratio
        return value <= float(limit) if sign == "<=" else value >= float(limit)


class Report(NamedTuple):
    """The results of one benchmark."""

    title: str
    unit: str
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()


def _spread(values: Sequence[float]) -> float:
    if len(values) < 2:  # noqa: PLR2004 - one value has no spread
        return 0.0
    low, _, high = quantiles(values, n=4, method="inclusive")
    return (high - low) / median(values) if median(values) else 0.0


def compare(names: Sequence[str], rounds: Sequence[Sequence[float]], goals: Sequence[str]) -> tuple[Result, ...]:
    """Convert a table to results: a row per round, a column per contestant, the floor first."""
    columns = list(zip(*rounds, strict=True))
    floor = columns[0]
    return tuple(
        Result(name, column, tuple(one / base for one, base in zip(column, floor, strict=True)), goal)
        for name, column, goal in zip(names, columns, goals, strict=True)
    )


async def run_rounds(contestants: Sequence[Contestant], *, rounds: int, times: int) -> tuple[Result, ...]:
    """Run ``rounds`` rounds of ``times`` repetitions; each round starts with another contestant."""
    for one in contestants:
        await one.run(max(1, times // 10))  # warm-up: caches, specialised bytecode, connections
    # Otherwise a contestant pays for garbage collection of the modules that the others imported.
    gc.collect()
    gc.freeze()
    table = []
    for number in range(rounds):
        row = [0.0] * len(contestants)
        for offset in range(len(contestants)):
            index = (offset + number) % len(contestants)
            row[index] = await contestants[index].run(times) / times
        table.append(row)
    return compare([one.name for one in contestants], table, [one.goal for one in contestants])

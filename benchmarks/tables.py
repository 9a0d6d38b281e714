"""Answers as text, as a table for the README, and as JSON data and back."""

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.rounds import Answer, Result

OURS = "leadpay"


def text(answer: Answer) -> Iterator[str]:
    """Write an answer as lines."""
    yield ""
    yield f"{answer.question} ({answer.unit})"
    yield from (f"  {note}" for note in answer.notes)
    for one in answer.results:
        ratio = f"{one.ratio:8.2f}" if one.ratio is not None else " " * 8
        goal = f"  {one.goal}: {'reached' if one.reached else 'NOT reached'}" if one.goal else ""
        yield f"  {one.name:46}{_number(one.median):>14}  +-{one.spread / 2:4.0%}{ratio}{goal}"


def markdown(answers: list[Answer]) -> Iterator[str]:
    """Write what has a goal as a table: the goal beside the result, and beside the others."""
    yield f"{machine()}. Each number is a multiple of the floor's."
    yield ""
    yield "| work | floor: 1.0 | leadpay | goal | others |"
    yield "|---|---|---|---|---|"
    for answer in answers:
        others = ", ".join(_beside(answer))
        for one in answer.results:
            if one.goal and one.ratio is not None:
                work = answer.question if one.name == OURS else f"{answer.question}: {one.name}"
                cells = [work, answer.results[0].name, f"**{one.ratio:.2f}**", spelled(one.goal)]
                yield f"| {' | '.join([*cells, others])} |"
                others = "as above"


def spelled(goal: str) -> str:
    """Write a goal as one reads it."""
    return goal.replace("<=", "≤").replace(">=", "≥")


def machine() -> str:
    """Name the processor and the version of Python."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0].partition(":")[2].strip() if names else platform.machine()
    return f"{len(names)} cores of an {processor}, Python {platform.python_version()}"


def as_data(answer: Answer) -> dict[str, Any]:
    """Give an answer as JSON data, with every round."""
    return {**answer._asdict(), "results": [_row(one) for one in answer.results]}


def from_data(data: dict[str, Any]) -> Answer:
    """Take what ``as_data`` gave."""
    results = tuple(
        Result(row["name"], tuple(row["values"]), tuple(row["ratios"]), row["goal"]) for row in data["results"]
    )
    return Answer(data["question"], data["unit"], results, tuple(data["notes"]))


def _row(one: Result) -> dict[str, Any]:
    return {**one._asdict(), "median": one.median, "spread": one.spread, "ratio": one.ratio, "reached": one.reached}


def _beside(answer: Answer) -> Iterator[str]:
    for one in answer.results[1:]:
        if not one.goal and one.ratio is not None and not one.name.startswith(OURS):
            yield f"{one.name} {one.ratio:.2f}" if one.ratio < 10 else f"{one.name} {one.ratio:.0f}"  # noqa: PLR2004 - two digits


def _number(value: float) -> str:
    """Write a number so that small ones show their size."""
    return f"{value * 1e6:,.1f}e-6" if 0 < abs(value) < 1 else f"{value:,.1f}"

"""Reports as text, as a table for the README, and as JSON data and back."""

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.rounds import Report, Result

OURS = "leadpay"


def text(report: Report) -> Iterator[str]:
    """Format a report as lines."""
    yield ""
    yield f"{report.title} ({report.unit})"
    yield from (f"  {note}" for note in report.notes)
    for one in report.results:
        ratio = f"{one.ratio:8.2f}" if one.ratio is not None else " " * 8
        goal = f"  {one.goal}: {'reached' if one.reached else 'NOT reached'}" if one.goal else ""
        yield f"  {one.name:46}{_number(one.median):>14}  +-{one.spread / 2:4.0%}{ratio}{goal}"


def markdown(reports: list[Report]) -> Iterator[str]:
    """Format the results that have a goal as a table, with the goal and the peers."""
    yield f"{machine()}. Each number is a multiple of the floor."
    yield ""
    yield "| work | floor: 1.0 | leadpay | goal | others |"
    yield "|---|---|---|---|---|"
    for report in reports:
        others = ", ".join(_peers(report))
        for one in report.results:
            if one.goal and one.ratio is not None:
                work = report.title if one.name == OURS else f"{report.title}: {one.name}"
                cells = [work, report.results[0].name, f"**{one.ratio:.2f}**", format_goal(one.goal)]
                yield f"| {' | '.join([*cells, others])} |"
                others = "as above"


def format_goal(goal: str) -> str:
    """Format a goal with mathematical signs."""
    return goal.replace("<=", "≤").replace(">=", "≥")


def machine() -> str:
    """Name the processor and the version of Python."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0].partition(":")[2].strip() if names else platform.machine()
    return f"{len(names)} cores of an {processor}, Python {platform.python_version()}"


def as_data(report: Report) -> dict[str, Any]:
    """Convert a report to JSON data, with every round."""
    return {**report._asdict(), "results": [_row(one) for one in report.results]}


def from_data(data: dict[str, Any]) -> Report:
    """Convert JSON data of ``as_data`` to a report."""
    results = tuple(
        Result(row["name"], tuple(row["values"]), tuple(row["ratios"]), row["goal"]) for row in data["results"]
    )
    return Report(data["title"], data["unit"], results, tuple(data["notes"]))


def _row(one: Result) -> dict[str, Any]:
    return {**one._asdict(), "median": one.median, "spread": one.spread, "ratio": one.ratio, "reached": one.reached}


def _peers(report: Report) -> Iterator[str]:
    for one in report.results[1:]:
        if not one.goal and one.ratio is not None and not one.name.startswith(OURS):
            yield f"{one.name} {one.ratio:.2f}" if one.ratio < 10 else f"{one.name} {one.ratio:.0f}"  # noqa: PLR2004 - two digits


def _number(value: float) -> str:
    """Format a number; small ones are in millionths."""
    return f"{value * 1e6:,.1f}e-6" if 0 < abs(value) < 1 else f"{value:,.1f}"

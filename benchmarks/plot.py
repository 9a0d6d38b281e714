"""A chart of all ratios: a bar per contestant, with the goals."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.rounds import Report, Result
from benchmarks.tables import OURS, format_goal, machine

_OUR_COLOUR: Final = "#1f5fbf"
_COLOUR: Final = "#b9c0c8"
_GOAL_COLOUR: Final = "#d62728"
_SIZE: Final = 9.5


def draw(reports: Sequence[Report], path: Path) -> None:
    """Draw the reports that have goals and ratios.

    Args:
        reports: other reports are left out.
        path: where to write the PNG.
    """
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        raise SystemExit("matplotlib is not installed: uv run --group bench python -m benchmarks --plot PNG") from None
    shown = [one for one in reports if any(result.goal and result.ratio for result in one.results)]
    halves = _halves(shown)
    figure = plt.figure(figsize=(10, 0.25 * max(_height(half) for half in halves)), layout="constrained")
    places: Any = figure.subfigures(1, 2, wspace=0.02)
    for place, half in zip(places, halves, strict=True):
        heights = [len(one.results) + _HEAD for one in half]
        panels = place.subplots(len(half), 1, squeeze=False, height_ratios=heights)
        for panel, one in zip(panels[:, 0], half, strict=True):
            _panel(panel, one)
    figure.supxlabel(
        f"multiples of the floor, logarithmic; lower is better; red: the goal. {machine()}", fontsize=_SIZE
    )
    figure.savefig(path, dpi=130)


_HEAD: Final = 3
"""Space for a title and an axis, in bars."""


def _height(half: Sequence[Report]) -> int:
    return sum(len(one.results) + _HEAD for one in half)


def _halves(reports: Sequence[Report]) -> tuple[list[Report], list[Report]]:
    """Split the reports into two columns of about the same height."""
    left: list[Report] = []
    right: list[Report] = []
    for one in sorted(reports, key=lambda one: -len(one.results)):
        half = left if _height(left) <= _height(right) else right
        half.append(one)
    return (left, right) if right else (left, left)


def _panel(panel: Any, report: Report) -> None:
    higher = any(one.goal.startswith(">=") for one in report.results)
    bars = sorted(
        (one for one in report.results if one.ratio is not None), key=lambda one: one.ratio or 0, reverse=not higher
    )
    names = [one.name for one in bars]
    ratios = [one.ratio or 0 for one in bars]
    colours = [_OUR_COLOUR if one.name.startswith(OURS) or one.goal else _COLOUR for one in bars]
    panel.barh(names, ratios, color=colours, height=0.75)
    panel.set_xscale("log")
    # Space at the right for the numbers.
    low, high = min(ratios) * 0.8, max(ratios)
    panel.set_xlim(low, high * (high / low) ** 0.5)
    panel.axvline(1, color="#444", linewidth=0.8)
    for place, one in enumerate(bars):
        end = ratios[place]
        if one.goal:
            goal = float(one.goal.split()[1])
            panel.plot([goal] * 2, [place - 0.48, place + 0.48], color=_GOAL_COLOUR, linewidth=2)
            end = max(end, goal)
        panel.annotate(_label(one), (end, place), (4, 0), textcoords="offset points", va="center", fontsize=_SIZE)
    panel.set_title(f"{report.title}{' (higher is better)' if higher else ''}", fontsize=_SIZE + 1, loc="right")
    panel.tick_params(labelsize=_SIZE)
    panel.tick_params(axis="x", which="both", labelbottom=False, bottom=False)
    for side in ("top", "right", "bottom"):
        panel.spines[side].set_visible(False)


def _label(one: Result) -> str:
    goal = f"  (goal {format_goal(one.goal)})" if one.goal else ""
    return f"{one.ratio:.2f}{goal}"

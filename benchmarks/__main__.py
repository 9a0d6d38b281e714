"""Run all benchmarks, or those that are named, and print a table: ``python -m benchmarks webhook client --json``."""

import argparse
import json
import sys
from importlib import import_module
from typing import Final

from benchmarks.rounds import Answer, Result

QUESTIONS: Final = ("webhook", "server", "client", "imports", "inbox", "growth")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("questions", nargs="*", choices=[*QUESTIONS, []], help="which ones; all if left out")
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--json", action="store_true", help="print every round as JSON")
    options = parser.parse_args()
    answers: list[Answer] = []
    for name in options.questions or QUESTIONS:
        given = import_module(f"benchmarks.{name}").answer(quick=options.quick)
        for one in given if isinstance(given, list) else [given]:
            answers.append(one)
            if not options.json:
                print("\n".join(table(one)), flush=True)
    if options.json:
        json.dump([as_data(one) for one in answers], sys.stdout, indent=1)


def table(answer: Answer) -> list[str]:
    """Write an answer as lines."""
    lines = ["", f"{answer.question} ({answer.unit})", *(f"  {note}" for note in answer.notes)]
    for one in answer.results:
        ratio = f"{one.ratio:8.2f}" if one.ratio is not None else " " * 8
        goal = f"  {one.goal}: {'reached' if one.reached else 'NOT reached'}" if one.goal else ""
        lines.append(f"  {one.name:46}{number(one.median):>14}  +-{one.spread / 2:4.0%}{ratio}{goal}")
    return lines


def number(value: float) -> str:
    """Write a number so that small ones show their size."""
    return f"{value * 1e6:,.1f}e-6" if 0 < abs(value) < 1 else f"{value:,.1f}"


def as_data(answer: Answer) -> dict[str, object]:
    """Give an answer as JSON data, with every round."""

    def row(one: Result) -> dict[str, object]:
        summary = {"median": one.median, "spread": one.spread, "ratio": one.ratio, "goal": one.goal}
        return {"name": one.name, **summary, "reached": one.reached, "values": one.values}

    return {
        "question": answer.question,
        "unit": answer.unit,
        "notes": answer.notes,
        "results": list(map(row, answer.results)),
    }


if __name__ == "__main__":
    main()

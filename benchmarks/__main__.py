"""Run all benchmarks, or those that are named, and print a table: ``python -m benchmarks webhook client --json``."""

import argparse
import json
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.rounds import Answer
from benchmarks.tables import as_data, from_data, markdown, text

QUESTIONS: Final = ("webhook", "server", "client", "imports", "inbox", "growth")

PEERS: Final = (
    "gidgethub",
    "increase",
    "matplotlib",
    "modern_treasury",
    "pydantic",
    "standardwebhooks",
    "stripe",
    "svix",
)
"""What the group ``bench`` brings."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("questions", nargs="*", choices=[*QUESTIONS, []], help="which ones; all if left out")
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--json", action="store_true", help="print every round as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the goals as a table for the README, last")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the same table")
    parser.add_argument("--read", type=Path, metavar="JSON", help="take what --json printed, and measure nothing")
    options = parser.parse_args()
    if not options.read:
        warn()
    answers = [from_data(one) for one in json.loads(options.read.read_text())] if options.read else []
    for name in () if options.read else options.questions or QUESTIONS:
        given = import_module(f"benchmarks.{name}").answer(quick=options.quick)
        for one in given if isinstance(given, list) else [given]:
            answers.append(one)
            if not options.json:
                print("\n".join(text(one)), flush=True)
    show(answers, options)


def warn() -> None:
    """Say what cannot be measured, and how it could be."""
    if missing := ", ".join(name for name in PEERS if find_spec(name) is None):
        print(f"not installed, so left out: {missing}", file=sys.stderr)
        print("with them: uv run --group bench python -m benchmarks", file=sys.stderr)


def show(answers: list[Answer], options: argparse.Namespace) -> None:
    """Print and draw what was asked for beside the text."""
    if options.json:
        json.dump([as_data(one) for one in answers], sys.stdout, indent=1)
    if options.markdown:
        print("\n" + "\n".join(markdown(answers)))
    if options.plot:
        from benchmarks.plot import draw

        draw(answers, options.plot)


if __name__ == "__main__":
    main()

"""Run all benchmarks, or the named ones, and print a table: ``python -m benchmarks webhook client --json``."""

import argparse
import json
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.rounds import Report
from benchmarks.tables import as_data, from_data, markdown, text

BENCHMARKS: Final = ("webhook", "server", "client", "imports", "durable", "growth")

PEERS: Final = (
    "gidgethub",
    "huey",
    "increase",
    "matplotlib",
    "modern_treasury",
    "pgqueuer",
    "procrastinate",
    "pydantic",
    "standardwebhooks",
    "stripe",
    "svix",
)
"""Libraries that the dependency group ``bench`` installs."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("benchmarks", nargs="*", choices=[*BENCHMARKS, []], help="which to run; default: all")
    parser.add_argument("--quick", action="store_true", help="run few rounds")
    parser.add_argument("--json", action="store_true", help="print all rounds as JSON")
    parser.add_argument("--markdown", action="store_true", help="also print a table for the README")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="also draw the table")
    parser.add_argument("--read", type=Path, metavar="JSON", help="read the output of --json instead of measuring")
    options = parser.parse_args()
    if not options.read:
        warn_of_missing_peers()
    reports = [from_data(one) for one in json.loads(options.read.read_text())] if options.read else []
    for name in () if options.read else options.benchmarks or BENCHMARKS:
        for report in import_module(f"benchmarks.{name}").measure(quick=options.quick):
            reports.append(report)
            if not options.json:
                print("\n".join(text(report)), flush=True)
    show(reports, options)


def warn_of_missing_peers() -> None:
    """Name the peers that are not installed, and the command that installs them."""
    if missing := ", ".join(name for name in PEERS if find_spec(name) is None):
        print(f"not installed, so not measured: {missing}", file=sys.stderr)
        print("to measure them too: uv run --group bench python -m benchmarks", file=sys.stderr)


def show(reports: list[Report], options: argparse.Namespace) -> None:
    """Print or draw the reports in the requested formats."""
    if options.json:
        json.dump([as_data(one) for one in reports], sys.stdout, indent=1)
    if options.markdown:
        print("\n" + "\n".join(markdown(reports)))
    if options.plot:
        from benchmarks.plot import draw

        draw(reports, options.plot)


if __name__ == "__main__":
    main()

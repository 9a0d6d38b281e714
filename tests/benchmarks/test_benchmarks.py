"""The benchmarks run and report results. No test checks how long anything took."""

import asyncio
import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.durable import HANDLED, Database, Postgres, Sqlite, measure_round
from benchmarks.plot import draw
from benchmarks.queues import Leadpay, PostgresLoop, SqliteLoop
from benchmarks.receivers import OURS, bare, present, stock_cattrs
from benchmarks.rounds import Contestant, Report, Result, Run, compare, run_rounds
from benchmarks.tables import as_data, from_data, markdown, text
from tests.support.postgres import serving

ROOT = Path(__file__).parents[2]
NAMES, GOALS = ["the floor", "leadpay", "leadpay, tuned", "another"], ["", "<= 1.6", ">= 0.5", ""]
REPORT = Report("work", "seconds", compare(NAMES, [[2, 4, 1, 24], [4, 6, 2, 48], [2, 3, 9, 24]], GOALS), ("a note",))


def test_every_receiver_that_needs_no_peer_accepts_a_webhook() -> None:
    """Each receiver is tried before it is measured, so one that refuses the webhook fails here."""
    names = [one.name for one in present((bare, *OURS, stock_cattrs))]
    assert names == ["hmac.digest + orjson.loads", "leadpay", "leadpay, receive()", "stock cattrs"]


def test_each_round_starts_with_another_contestant() -> None:
    """All contestants warm up, and each is first equally often."""
    order: list[str] = []

    def contestant(name: str, cost: float) -> Contestant:
        async def run(times: int) -> float:
            order.append(name)
            return cost * times

        work: Run = run
        return Contestant(name, work, "<= 2.0" if name == "b" else "")

    results = asyncio.run(run_rounds([contestant("a", 1), contestant("b", 3)], rounds=2, times=10))
    assert "".join(order) == "ab" + "ab" + "ba"
    assert [(one.values, one.ratio, one.reached) for one in results] == [((1, 1), 1, None), ((3, 3), 3, False)]


def test_a_result_is_the_median_of_the_ratios() -> None:
    """A goal is an upper or a lower limit, of the ratio or, without a floor, of the value."""
    _, first, second, _ = REPORT.results
    assert (first.ratio, first.reached) == (1.5, True)
    assert (second.ratio, second.reached) == (0.5, True)
    assert Result("x", (7,), (), "<= 5").reached is False
    assert Result("x", (7,), ()).spread == 0


def test_tables_show_the_goal_beside_the_result() -> None:
    """Text has every contestant, and Markdown has those that have a goal."""
    assert [line.split()[-2:] for line in text(REPORT)][3:] == [
        ["25%", "1.00"],
        ["1.6:", "reached"],
        ["0.5:", "reached"],
        ["25%", "12.00"],
    ]
    assert [*markdown([REPORT])][-2:] == [
        "| work | the floor | **1.50** | ≤ 1.6 | another 12 |",
        "| work: leadpay, tuned | the floor | **0.50** | ≥ 0.5 | as above |",
    ]


def test_reports_can_be_saved_as_json() -> None:
    """--read reads the output of --json."""
    assert from_data(json.loads(json.dumps(as_data(REPORT)))) == REPORT


def test_a_plot_is_drawn(tmp_path: Path) -> None:
    """Without matplotlib, the error names the command that installs it."""
    path = tmp_path / "plot.png"
    if find_spec("matplotlib") is None:
        with pytest.raises(SystemExit, match="uv run --group bench"):
            draw([REPORT], path)
    else:
        draw([REPORT, REPORT._replace(results=REPORT.results[:2])], path)
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_command_measures_and_prints_json(tmp_path: Path) -> None:
    """One benchmark runs with few rounds, and its output is read back into a table."""

    def printed(*arguments: str) -> str:
        command = [sys.executable, "-m", "benchmarks", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)  # noqa: S603 - our own
        return done.stdout

    saved = printed("webhook", "--quick", "--json")
    (report,) = map(from_data, json.loads(saved))
    assert [one.name for one in report.results][:3] == [
        "hmac.digest + orjson.loads",
        "leadpay",
        "leadpay, unknown fields",
    ]
    assert {len(one.values) for one in report.results} == {6}
    (tmp_path / "saved.json").write_text(saved)
    shown = printed("--read", str(tmp_path / "saved.json"), "--markdown")
    assert "| a webhook, received | hmac.digest + orjson.loads | **" in shown


def test_ours_and_the_bare_loops_handle_every_event_once() -> None:
    """Each contestant that needs no peer accepts a few events on each database, and has one effect for each."""
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        databases: list[Database] = [Postgres(server), Sqlite(Path(folder))]
        for database in databases:
            for make in database.contestants():
                with database.place() as place:
                    queue = make(place)
                    if isinstance(queue, PostgresLoop | SqliteLoop | Leadpay):
                        figures = asyncio.run(measure_round(queue, database, place, events=40))
                        assert figures[HANDLED] > 0
                        assert len(database.effects(place)) == database.count(place) == 88

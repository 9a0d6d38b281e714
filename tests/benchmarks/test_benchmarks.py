"""The benchmarks run, and say what they saw; how long anything took is no test's affair."""

import asyncio
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.plot import draw
from benchmarks.receivers import OURS, bare, present, stock_cattrs
from benchmarks.rounds import Answer, Contestant, Result, Run, compare, take_turns
from benchmarks.tables import as_data, from_data, markdown, text

ROOT = Path(__file__).parents[2]
NAMES, GOALS = ["the floor", "leadpay", "leadpay, too", "another"], ["", "<= 1.6", ">= 0.5", ""]
ANSWER = Answer("work", "seconds", compare(NAMES, [[2, 4, 1, 24], [4, 6, 2, 48], [2, 3, 9, 24]], GOALS), ("a note",))


def test_every_way_to_receive_that_needs_no_peer_receives_a_webhook() -> None:
    """Each one is let receive a webhook before it is measured, so one that refuses it fails here."""
    names = [one.name for one in present((bare, *OURS, stock_cattrs))]
    assert names == ["hmac.digest + orjson.loads", "leadpay", "leadpay, receive()", "stock cattrs"]


def test_contestants_take_turns_in_an_order_that_turns() -> None:
    """Everybody warms up, and is first as often as the others."""
    order: list[str] = []

    def contestant(name: str, cost: float) -> Contestant:
        async def run(times: int) -> float:
            order.append(name)
            return cost * times

        work: Run = run
        return Contestant(name, work, "<= 2.0" if name == "b" else "")

    results = asyncio.run(take_turns([contestant("a", 1), contestant("b", 3)], rounds=2, times=10))
    assert "".join(order) == "ab" + "ab" + "ba"
    assert [(one.values, one.ratio, one.reached) for one in results] == [((1, 1), 1, None), ((3, 3), 3, False)]


def test_a_result_is_the_median_of_its_rounds_ratios() -> None:
    """Goals may be limits in either direction, and of a number where there is no floor."""
    _, first, second, _ = ANSWER.results
    assert (first.ratio, first.reached) == (1.5, True)
    assert (second.ratio, second.reached) == (0.5, True)
    assert Result("x", (7,), (), "<= 5").reached is False
    assert Result("x", (7,), ()).spread == 0


def test_tables_show_the_goal_beside_the_result() -> None:
    """As text with every contestant, and as markdown with those that have a goal."""
    assert [line.split()[-2:] for line in text(ANSWER)][3:] == [
        ["25%", "1.00"],
        ["1.6:", "reached"],
        ["0.5:", "reached"],
        ["25%", "12.00"],
    ]
    assert [*markdown([ANSWER])][-2:] == [
        "| work | the floor | **1.50** | ≤ 1.6 | another 12 |",
        "| work: leadpay, too | the floor | **0.50** | ≥ 0.5 | as above |",
    ]


def test_answers_survive_being_json() -> None:
    """What --json prints, --read takes."""
    assert from_data(json.loads(json.dumps(as_data(ANSWER)))) == ANSWER


def test_a_plot_is_drawn_or_the_way_to_one_is_named(tmp_path: Path) -> None:
    """Without matplotlib the error says which command brings it."""
    path = tmp_path / "plot.png"
    if find_spec("matplotlib") is None:
        with pytest.raises(SystemExit, match="uv run --group bench"):
            draw([ANSWER], path)
    else:
        draw([ANSWER, ANSWER._replace(results=ANSWER.results[:2])], path)
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_command_measures_and_prints_json(tmp_path: Path) -> None:
    """One question, with few rounds; and the table of what it printed."""

    def printed(*arguments: str) -> str:
        command = [sys.executable, "-m", "benchmarks", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)  # noqa: S603 - our own
        return done.stdout

    seen = printed("webhook", "--quick", "--json")
    (answer,) = map(from_data, json.loads(seen))
    names = ["hmac.digest + orjson.loads", "leadpay", "leadpay, unknown fields", "leadpay, receive()"]
    assert [one.name for one in answer.results][:4] == names
    assert {len(one.values) for one in answer.results} == {6}
    (tmp_path / "seen.json").write_text(seen)
    shown = printed("--read", str(tmp_path / "seen.json"), "--markdown")
    assert "| a webhook, received | hmac.digest + orjson.loads | **" in shown

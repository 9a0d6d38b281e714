"""The example plugin, installed for real beside the built wheel, handles the pretend bank's webhooks."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.packaging.conftest import PLUGIN, Home

HOST = Path(__file__).with_name("host.py")
WHOLE = (PLUGIN / "leadpay_ledger" / "__init__.py").read_text()
Break = Callable[[str, str], None]
BROKEN = [
    ("import asynccontextmanager", "import asynccontextmanagre", "(ImportError: cannot import name"),
    ('@router.posted(direction="outgoing"', "router = {}\n#", "is a dict, not a WebhookRouter"),
]


def booked(folder: Path) -> list[int]:
    """Read the cents of the ledger's entries, in order."""
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        return [cents for (cents,) in connection.execute("SELECT cents FROM entries ORDER BY rowid")]


@pytest.fixture
def broken(home: Home) -> Iterator[Break]:
    """Put something else in the place of a part of the installed plugin."""
    [path] = home.python.parents[1].glob("lib/python*/site-packages/leadpay_ledger/__init__.py")

    def change(old: str, new: str) -> None:
        assert old in WHOLE
        # Installed files may be links into a cache, so they are replaced instead of written to.
        path.unlink()
        path.write_text(WHOLE.replace(old, new))

    yield change
    path.unlink()
    path.write_text(WHOLE)


def test_the_plugin_books_what_comes_in_and_what_is_given_back(home: Home, tmp_path: Path) -> None:
    """Each once, though the bank tells everything twice; its settings come from the environment."""
    done = home.run(HOST, LEDGER_DATABASE=str(tmp_path / "ledger.db"))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["loaded"] == ["leadpay-ledger"]
    assert told["neighbour"] == ["incoming", "outgoing"]
    assert booked(tmp_path) == [5000, -5000]


def test_the_plugins_own_tests_pass(home: Home) -> None:
    """The pytest plugin of the installed wheel gives them its fixtures, without being asked."""
    done = home.run("-m", "pytest", "-q", "-p", "no:cacheprovider", PLUGIN, PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_command_lists_the_plugin(home: Home) -> None:
    """Distribution, version and the events that it takes."""
    done = home.run("-m", "leadpay", "plugins", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "distribution": "leadpay-ledger",
        "version": "1.0.0",
        "name": "ledger",
        "place": "leadpay_ledger:router",
        "events": ["instant_payment.posted"],
        "error": None,
    }


def test_the_command_tells_what_the_plugin_leaves_unhandled(home: Home) -> None:
    """A ledger answers no return requests, which the bank makes mandatory."""
    done = home.run("-m", "leadpay", "check", "leadpay_ledger:router", "--json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert [route["handler"] for route in told["routes"]] == ["leadpay_ledger:credit", "leadpay_ledger:reverse"]
    assert told["missing"] == ["instant_payment.return_request_response_needed"]


@pytest.mark.parametrize(("old", "new", "why"), BROKEN, ids=["import error", "wrong type"])
def test_a_broken_plugin_stops_the_program(home: Home, broken: Break, old: str, new: str, why: str) -> None:
    """The last line of the traceback names the distribution and what is wrong."""
    broken(old, new)
    done = home.run(HOST)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("leadpay.errors.RouterError: plugin 'ledger' of leadpay-ledger 1.0.0: leadpay_ledger:router")
    assert why in last


@pytest.mark.parametrize(("old", "new", "why"), BROKEN, ids=["import error", "wrong type"])
def test_a_broken_plugin_can_be_left_out_loudly(home: Home, broken: Break, old: str, new: str, why: str) -> None:
    """The program handles the bank's webhooks without it, and an error says whose events are not handled."""
    broken(old, new)
    done = home.run(HOST, "skip")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["loaded"] == []
    assert told["neighbour"] == ["incoming", "outgoing"]
    assert "ERROR plugin 'ledger' of leadpay-ledger 1.0.0: " in done.stderr
    assert why in done.stderr
    assert "its events are NOT handled" in done.stderr


def test_the_command_names_a_broken_plugin(home: Home, broken: Break) -> None:
    """With its distribution, its version and what is wrong; exit status 1."""
    broken(*BROKEN[0][:2])
    done = home.run("-m", "leadpay", "plugins")
    assert done.returncode == 1
    assert "BROKEN: plugin 'ledger' of leadpay-ledger 1.0.0: leadpay_ledger:router cannot be imported" in done.stdout
    assert done.stderr == ""


def test_a_plugin_that_raises_holds_nobody_up(home: Home, broken: Break, tmp_path: Path) -> None:
    """The handler after it runs, the bank is told that something failed, and the plugin's other handler works on."""
    broken("    await context.state.enter(event.payment, event", "    raise OSError\n    (event")
    done = home.run(HOST, LEDGER_DATABASE=str(tmp_path / "ledger.db"))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["neighbour"].count("incoming") == told["counts"]["failed"] > 0
    assert told["neighbour"].count("outgoing") == 1
    assert "leadpay_ledger:credit failed" in done.stderr
    assert booked(tmp_path) == [-5000]

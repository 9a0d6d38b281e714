"""The example plugin, installed beside the built wheel, handles webhooks of the simulated bank."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.packaging.conftest import PLUGIN, Environment

HOST = Path(__file__).with_name("host.py")
SOURCE = (PLUGIN / "leadpay_ledger" / "__init__.py").read_text()
Break = Callable[[str, str], None]
BROKEN = [
    ("import asynccontextmanager", "import asynccontextmanagre", "(ImportError: cannot import name"),
    ('@router.posted(direction="outgoing"', "router = {}\n#", "is a dict, not a WebhookRouter"),
]


def booked(folder: Path) -> list[int]:
    """Read the amounts of the ledger's entries, in order."""
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        return [cents for (cents,) in connection.execute("SELECT cents FROM entries ORDER BY rowid")]


@pytest.fixture
def broken(environment: Environment) -> Iterator[Break]:
    """Replace a part of the installed plugin's source."""
    [path] = environment.python.parents[1].glob("lib/python*/site-packages/leadpay_ledger/__init__.py")

    def change(old: str, new: str) -> None:
        assert old in SOURCE
        # Installed files may be links into a cache, so they are replaced instead of written to.
        path.unlink()
        path.write_text(SOURCE.replace(old, new))

    yield change
    path.unlink()
    path.write_text(SOURCE)


def test_the_plugin_books_payments_and_their_returns(environment: Environment, tmp_path: Path) -> None:
    """Each is booked once, although every webhook arrives twice; settings come from the environment."""
    done = environment.run(HOST, LEDGER_DATABASE=str(tmp_path / "ledger.db"))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["loaded"] == ["leadpay-ledger"]
    assert result["own_handler"] == ["incoming", "outgoing"]
    assert booked(tmp_path) == [5000, -5000]


def test_the_plugins_own_tests_pass(environment: Environment) -> None:
    """The pytest plugin of the installed wheel provides fixtures without any configuration."""
    done = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", PLUGIN, PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_command_lists_the_plugin(environment: Environment) -> None:
    """It prints the distribution, the version and the events of its handlers."""
    done = environment.run("-m", "leadpay", "plugins", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "distribution": "leadpay-ledger",
        "version": "1.0.0",
        "name": "ledger",
        "place": "leadpay_ledger:router",
        "events": ["instant_payment.posted"],
        "error": None,
    }


def test_check_lists_the_events_that_the_plugin_does_not_handle(environment: Environment) -> None:
    """The ledger does not respond to return requests, which are mandatory for the bank."""
    done = environment.run("-m", "leadpay", "check", "leadpay_ledger:router", "--json")
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert [route["handler"] for route in result["routes"]] == ["leadpay_ledger:credit", "leadpay_ledger:debit"]
    assert result["missing"] == ["instant_payment.return_request_response_needed"]


@pytest.mark.parametrize(("old", "new", "error"), BROKEN, ids=["import error", "wrong type"])
def test_a_broken_plugin_stops_the_program(
    environment: Environment, broken: Break, old: str, new: str, error: str
) -> None:
    """The last line of the traceback names the distribution and what is wrong."""
    broken(old, new)
    done = environment.run(HOST)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("leadpay.errors.RouterError: plugin 'ledger' of leadpay-ledger 1.0.0: leadpay_ledger:router")
    assert error in last


@pytest.mark.parametrize(("old", "new", "error"), BROKEN, ids=["import error", "wrong type"])
def test_a_broken_plugin_can_be_skipped(
    environment: Environment, broken: Break, old: str, new: str, error: str
) -> None:
    """The program runs without it, and an error in the log says that its events are not handled."""
    broken(old, new)
    done = environment.run(HOST, "skip")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["loaded"] == []
    assert result["own_handler"] == ["incoming", "outgoing"]
    assert "ERROR plugin 'ledger' of leadpay-ledger 1.0.0: " in done.stderr
    assert error in done.stderr
    assert "its events are NOT handled" in done.stderr


def test_the_command_names_a_broken_plugin(environment: Environment, broken: Break) -> None:
    """It prints the distribution, the version and the error; the exit code is 1."""
    broken(*BROKEN[0][:2])
    done = environment.run("-m", "leadpay", "plugins")
    assert done.returncode == 1
    assert "BROKEN: plugin 'ledger' of leadpay-ledger 1.0.0: leadpay_ledger:router cannot be imported" in done.stdout
    assert done.stderr == ""


def test_a_plugin_that_raises_does_not_stop_other_handlers(
    environment: Environment, broken: Break, tmp_path: Path
) -> None:
    """The other handlers run, and the response makes the bank send the event again."""
    broken("    await context.state.record(event.payment, event", "    raise OSError\n    (event")
    done = environment.run(HOST, LEDGER_DATABASE=str(tmp_path / "ledger.db"))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["own_handler"].count("incoming") == result["counts"]["failed"] > 0
    assert result["own_handler"].count("outgoing") == 1
    assert "leadpay_ledger:credit failed" in done.stderr
    assert booked(tmp_path) == [-5000]

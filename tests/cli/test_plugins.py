"""``leadpay plugins``: what is installed, for people and for programs."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadpay.cli import run
from tests.support.installed import Installed

MODULE = """
    from leadpay import WebhookRouter
    router = WebhookRouter()
    @router.posted(direction="incoming")
    async def credit(event): ...
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = Installed(tmp_path)
    found.add("leadpay-a-ledger", {"ledger": "plug_ledger:router"}, "plug_ledger", MODULE)
    yield found
    found.forget()


def status_of(*arguments: str) -> object:
    """Run a command in this process and give its exit status."""
    with pytest.raises(SystemExit) as exit_info:
        run(arguments)
    return exit_info.value.code


def test_plugins_are_listed_with_their_events(installed: Installed, capsys: pytest.CaptureFixture[str]) -> None:
    """One row each: distribution, version, name and events."""
    assert status_of("plugins") == 0
    [row] = [line.split() for line in capsys.readouterr().out.splitlines() if "leadpay-a-ledger" in line]
    assert row == ["leadpay-a-ledger", "1.0", "ledger", "instant_payment.posted"]


def test_a_broken_plugin_is_named(installed: Installed, capsys: pytest.CaptureFixture[str]) -> None:
    """The list goes on, and the exit status says that something is wrong."""
    installed.add("leadpay-b-broken", {"broken": "plug_broken:router"})
    assert status_of("plugins") == 1
    out = capsys.readouterr().out
    assert "BROKEN: plugin 'broken' of leadpay-b-broken 1.0: plug_broken:router cannot be imported" in out
    assert "leadpay-a-ledger" in out


@pytest.mark.parametrize("broken", [False, True])
def test_plugins_speak_json(installed: Installed, capsys: pytest.CaptureFixture[str], broken: bool) -> None:
    """One object a line, and the same exit status."""
    if broken:
        installed.add("leadpay-b-broken", {"broken": "plug_broken:router"})
    assert status_of("plugins", "--json") == int(broken)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said[0] == {
        "distribution": "leadpay-a-ledger",
        "version": "1.0",
        "name": "ledger",
        "place": "plug_ledger:router",
        "events": ["instant_payment.posted"],
        "error": None,
    }
    assert [one["distribution"] for one in said if one["error"]] == ["leadpay-b-broken"] * broken

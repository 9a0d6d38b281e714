"""``leadpay plugins``: a table for people, JSON for programs."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import ExitCode
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


def test_plugins_are_listed_with_their_events(
    installed: Installed, exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row has the distribution, its version, the plugin's name and its events."""
    assert exit_code_of("plugins") == 0
    [row] = [line.split() for line in capsys.readouterr().out.splitlines() if "leadpay-a-ledger" in line]
    assert row == ["leadpay-a-ledger", "1.0", "ledger", "instant_payment.posted"]


def test_a_broken_plugin_is_named(
    installed: Installed, exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are listed too, and the exit code is 1."""
    installed.add("leadpay-b-broken", {"broken": "plug_broken:router"})
    assert exit_code_of("plugins") == 1
    out = capsys.readouterr().out
    assert "BROKEN: plugin 'broken' of leadpay-b-broken 1.0: plug_broken:router cannot be imported" in out
    assert "leadpay-a-ledger" in out


@pytest.mark.parametrize("broken", [False, True])
def test_plugins_are_json_lines(
    installed: Installed, exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str], broken: bool
) -> None:
    """One object per line, and the same exit code."""
    if broken:
        installed.add("leadpay-b-broken", {"broken": "plug_broken:router"})
    assert exit_code_of("plugins", "--json") == int(broken)
    data = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert data[0] == {
        "distribution": "leadpay-a-ledger",
        "version": "1.0",
        "name": "ledger",
        "place": "plug_ledger:router",
        "events": ["instant_payment.posted"],
        "error": None,
    }
    assert [one["distribution"] for one in data if one["error"]] == ["leadpay-b-broken"] * broken

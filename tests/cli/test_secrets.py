"""``leadpay secrets``."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from leadpay.inbox import open_inbox
from leadpay.webhooks.secrets import SecretUse, fingerprint
from tests.cli.conftest import ExitCode, Invoke

NEW, OLD, GONE = (fingerprint(name) for name in ("whsec_new", "whsec_old", "whsec_gone"))


async def record(url: str, **last: timedelta | None) -> None:
    """Have an inbox know secrets, each with the time since it last verified something."""
    now = datetime.now(UTC)
    uses = [
        SecretUse(
            fingerprint=fingerprint(f"whsec_{name}"),
            first_seen_at=now - timedelta(days=9),
            last_verified_at=None if ago is None else now - ago,
            verified=0 if ago is None else 7,
        )
        for name, ago in last.items()
    ]
    async with open_inbox(url) as inbox:
        await inbox.record_secrets(uses)


@pytest.mark.asyncio
async def test_each_secret_has_a_line(
    invoke: Invoke, inbox_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says how often, when, and whether it is safe to drop; no secret is shown."""
    monkeypatch.setenv("LEAD_WEBHOOK_SECRETS", "whsec_new,whsec_old,whsec_older,whsec_unused")
    await record(
        inbox_url,
        new=timedelta(hours=1),
        old=timedelta(days=1),
        older=timedelta(days=4),
        gone=timedelta(days=9),
        removed=None,
    )
    assert await invoke("secrets") == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].split() == ["SECRET", "NUMBER", "VERIFIED", "LAST", "VERIFIED", "STATE"]
    assert lines[1].startswith(NEW)
    assert lines[1].rstrip().endswith("in use")
    assert "safe to drop from " in lines[2]
    assert "safe to drop since " in lines[3]
    assert "needed: the first has verified nothing since" in lines[4]
    assert [line.rstrip().endswith("no longer configured") for line in lines] == [False] * 5 + [True] * 2
    assert "whsec" not in out
    assert await invoke("secrets", "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["state"] for one in found] == ["in use", "wait", "safe to drop", "needed", "removed", "removed"]
    assert found[0]["fingerprint"] == NEW


@pytest.mark.asyncio
async def test_a_warning_when_only_an_older_secret_matches(
    invoke: Invoke, inbox_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 1, for a script; without a use of the older one there is nothing to warn of."""
    await record(inbox_url, new=None)
    assert await invoke("secrets", "--secret", "whsec_new,whsec_old") == 0
    await record(inbox_url, old=timedelta(hours=1))
    assert await invoke("secrets", "--secret", "whsec_new,whsec_old") == 1
    printed = capsys.readouterr()
    assert "has verified nothing yet" in printed.out
    assert "only an older secret verifies webhooks" in printed.err


def test_a_missing_inbox_is_not_made(exit_code_of: ExitCode, inbox_url: str) -> None:
    """To look changes nothing."""
    assert exit_code_of("secrets") == 2

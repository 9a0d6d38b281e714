"""``leadpay returns``."""

import csv
import io
import json
from datetime import timedelta

import pytest

from leadpay.cli.returns import COLUMNS, _duration
from leadpay.errors import ConfigurationError
from leadpay.inbox import open_inbox
from leadpay.outbox import open_outbox
from tests.cli.conftest import Invoke
from tests.support.scene import Scene


@pytest.fixture
def outbox_url(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set LEAD_OUTBOX to a file that does not exist yet."""
    url = f"sqlite:///{tmp_path}/outbox.db"
    monkeypatch.setenv("LEAD_OUTBOX", url)
    return url


async def requested(scene: Scene, inbox_url: str, outbox_url: str) -> str:
    """Receive a payment whose return is requested, with empty stores."""
    payment = await scene.receive()
    await scene.lead.simulate.incoming_return_request(payment.id, reason="fraud_suspected")
    await scene.clock.advance(60)
    async with open_inbox(inbox_url), open_outbox(outbox_url):
        pass
    return payment.id


@pytest.mark.asyncio
async def test_requests_are_listed_and_alarm(
    online: Scene, invoke: Invoke, inbox_url: str, outbox_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a table, JSON, CSV and a calendar; the deadline is long over by the machine's clock, so the code is 4."""
    payment_id = await requested(online, inbox_url, outbox_url)
    assert await invoke("returns", "list") == 4
    out = capsys.readouterr().out
    for text in ("DEADLINE", payment_id, "$75.00", "fraud_suspected", "open"):
        assert text in out
    assert await invoke("returns", "list", "--json", "--due", "2d") == 4
    assert json.loads(capsys.readouterr().out)["payment_id"] == payment_id
    assert await invoke("returns", "list", "--csv", "--all") == 4
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (tuple(row), row["cents"], row["state"]) == (COLUMNS, "7500", "open")
    assert await invoke("returns", "list", "--ical") == 4
    assert "BEGIN:VEVENT" in capsys.readouterr().out
    assert await invoke("returns", "show", payment_id, "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "open"


@pytest.mark.asyncio
async def test_a_request_is_decided_once(  # noqa: PLR0917 - each is a fixture
    online: Scene,
    invoke: Invoke,
    inbox_url: str,
    outbox_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another decision, and one after the deadline, are exit code 1 with the reason."""
    payment_id = await requested(online, inbox_url, outbox_url)
    assert await invoke("returns", "accept", payment_id, "--by", "ana") == 1
    assert "can no longer be decided" in capsys.readouterr().err
    monkeypatch.setattr("leadpay.returns.SystemClock", lambda: online.clock)
    assert await invoke("returns", "accept", payment_id, "--by", "ana") == 0
    assert "responding" in capsys.readouterr().out
    assert await invoke("returns", "reject", payment_id, "--reason", "account_closed", "--by", "ben") == 1
    assert "decided before in another way" in capsys.readouterr().err
    assert await invoke("returns", "list", "--all") == 0
    assert "responding, by ana" in capsys.readouterr().out
    plain = await online.receive()
    assert await invoke("returns", "show", plain.id) == 1


@pytest.mark.parametrize(("text", "hours"), [("2d", 48), ("36h", 36), ("90m", 1.5)])
def test_a_time_is_days_hours_or_minutes(text: str, hours: float) -> None:
    """Anything else is refused."""
    assert _duration(text) == timedelta(hours=hours)
    with pytest.raises(ConfigurationError, match="--due: must be a time such as 2d"):
        _duration(f"{text}!")

"""``leadpay trigger``: one signed webhook."""

import json
from typing import Any

import pytest

from leadpay.cli.trigger import set_field
from leadpay.errors import ConfigurationError
from leadpay.webhooks import HEADER, verify
from tests.support.webhook_endpoint import WebhookEndpoint

SECRET = "whsec_trigger"


@pytest.mark.asyncio
async def test_a_webhook_is_sent_signed_and_changed(invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """It has the type, the direction and the fields that were given."""
    async with WebhookEndpoint().listening() as ear:
        arguments = ["posted", "--direction", "incoming", "--set", "amount=4200", "--set", "debtor.name=Jo Doe"]
        assert await invoke("trigger", *arguments, "--to", ear.url, "--secret", f"{SECRET},whsec_older") == 0
        [event] = ear.events
        assert ear.is_signed(SECRET)
    assert event["event"] == "instant_payment.posted"
    assert (event["object"]["direction"], event["object"]["amount"]) == ("incoming", 4200)
    assert event["object"]["debtor"]["name"] == "Jo Doe"
    assert capsys.readouterr().out == f"instant_payment.posted {event['id']} -> 200\n"


@pytest.mark.asyncio
@pytest.mark.parametrize(("status", "code"), [(503, 1), (302, 1), (204, 0)])
async def test_a_refused_webhook_is_an_exit_code(
    status: int, code: int, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any status but 2xx is a refusal; the JSON has the status."""
    async with WebhookEndpoint().listening() as ear:
        ear.statuses = [status]
        assert await invoke("trigger", "ach.returned", "--to", ear.url, "--secret", SECRET, "--json") == code
    assert json.loads(capsys.readouterr().out)["status"] == status


@pytest.mark.asyncio
async def test_an_unreachable_endpoint_is_a_network_failure(invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """It is exit code 3, without a traceback."""
    assert await invoke("trigger", "rejected", "--to", "http://127.0.0.1:1/", "--secret", SECRET) == 3
    assert capsys.readouterr().out.endswith("no response\n")


@pytest.mark.asyncio
@pytest.mark.parametrize("as_json", [False, True])
async def test_header_and_body_are_printed_without_a_url(
    as_json: bool, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """They belong together: the signature is that of the body."""
    assert await invoke("trigger", "under_review", "--secret", SECRET, *(["--json"] if as_json else [])) == 0
    out = capsys.readouterr().out
    if as_json:
        shown = json.loads(out)
        header, body = shown["headers"][HEADER], shown["body"]
    else:
        first, _, body, _ = out.split("\n")
        header = first.removeprefix(f"{HEADER}: ")
    time = int(header.split(",")[0].removeprefix("t="))
    verify(body.encode(), header, SECRET, now_ms=time)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lost"], "type"),
        (["counterparty_status_updated", "--direction", "incoming"], "direction"),
        (["posted", "--set", "amount"], "FIELD=VALUE"),
        (["posted", "--set", "=1"], "FIELD=VALUE"),
        (["posted", "--set", "amount=12.5"], "amount"),
        (["posted", "--set", "amout=1"], "amout"),
        (["posted", "--set", "creditor.nme=1"], "creditor.nme"),
        (["posted", "--set", "amount.cents=1"], "amount has no fields"),
        (["posted", "--set", "creditor.name=\udcff"], "--set creditor.name: must be text in UTF-8"),
        (["posted", "--set", "creditor.\udcff=1"], "must be text in UTF-8"),
    ],
)
async def test_a_wrong_webhook_is_refused(arguments: list[str], message: str, invoke: Any) -> None:
    """The message names the argument that is wrong."""
    with pytest.raises(ConfigurationError, match=message):
        await invoke("trigger", *arguments, "--secret", SECRET)


@pytest.mark.asyncio
async def test_a_missing_secret_is_an_error(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is generated: the receiver would not know it."""
    monkeypatch.delenv("LEAD_WEBHOOK_SECRETS", raising=False)
    with pytest.raises(ConfigurationError, match="secret"):
        await invoke("trigger", "posted")


def test_a_missing_field_can_be_set() -> None:
    """Optional objects are created; a value that is not JSON is a string."""
    data: dict[str, Any] = {"amount": 1}
    for change in ("rejection.reason=other", "amount=2", "description=null", "note=a=b"):
        set_field(data, change)
    assert data == {"amount": 2, "rejection": {"reason": "other"}, "description": None, "note": "a=b"}

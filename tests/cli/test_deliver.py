"""``leadpay trigger`` and ``leadpay listen``: signed webhooks for the application on a desk."""

import asyncio
import json
import os
import signal
from typing import Any

import orjson
import pytest

from leadpay.cli.deliver import MAX_SEEN, Follower, change_field
from leadpay.errors import ConfigurationError, RequestNotSentError
from leadpay.webhooks import HEADER, verify
from tests.support.scene import Scene
from tests.support.webhook_endpoint import WebhookEndpoint

SECRET = "whsec_desk"


@pytest.mark.asyncio
async def test_a_triggered_webhook_arrives_signed_and_changed(invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the type, in the direction, with the fields that were set."""
    async with WebhookEndpoint().listening() as endpoint:
        arguments = ["posted", "--direction", "incoming", "--set", "amount=4200", "--set", "debtor.name=Jo Doe"]
        assert await invoke("trigger", *arguments, "--to", endpoint.url, "--secret", f"{SECRET},whsec_older") == 0
        [event] = endpoint.events
        assert endpoint.is_signed(SECRET)
    assert event["event"] == "instant_payment.posted"
    assert (event["object"]["direction"], event["object"]["amount"]) == ("incoming", 4200)
    assert event["object"]["debtor"]["name"] == "Jo Doe"
    assert capsys.readouterr().out == f"instant_payment.posted {event['id']} -> 200\n"


@pytest.mark.asyncio
@pytest.mark.parametrize(("answers", "status"), [([503], 1), ([302], 1), ([204], 0)])
async def test_a_refusal_is_an_exit_status(
    answers: list[int], status: int, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anything but 2xx is a no; with --json a program can read which."""
    async with WebhookEndpoint().listening() as endpoint:
        endpoint.statuses = list(answers)
        assert await invoke("trigger", "ach.returned", "--to", endpoint.url, "--secret", SECRET, "--json") == status
    assert json.loads(capsys.readouterr().out)["status"] == answers[0]


@pytest.mark.asyncio
async def test_nobody_there_is_a_failure_of_the_network(invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 3, without a traceback."""
    assert await invoke("trigger", "rejected", "--to", "http://127.0.0.1:1/", "--secret", SECRET) == 3
    assert capsys.readouterr().out.endswith("no answer\n")


@pytest.mark.asyncio
@pytest.mark.parametrize("as_json", [False, True])
async def test_without_an_address_it_prints_what_curl_needs(
    as_json: bool, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The header and the body, which belong together."""
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
    ("arguments", "says"),
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
async def test_a_webhook_that_makes_no_sense_is_refused(arguments: list[str], says: str, invoke: Any) -> None:
    """What is wrong is named."""
    with pytest.raises(ConfigurationError, match=says):
        await invoke("trigger", *arguments, "--secret", SECRET)


@pytest.mark.asyncio
async def test_without_a_secret_nothing_is_signed(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not made up: the other side would not know it."""
    monkeypatch.delenv("LEAD_WEBHOOK_SECRETS", raising=False)
    with pytest.raises(ConfigurationError, match="secret"):
        await invoke("trigger", "posted")


def test_a_field_that_was_missing_can_be_set() -> None:
    """Optional objects come into being; a value that is no JSON is a string."""
    shown: dict[str, Any] = {"amount": 1}
    for change in ("rejection.reason=other", "amount=2", "description=null", "note=a=b"):
        change_field(shown, change)
    assert shown == {"amount": 2, "rejection": {"reason": "other"}, "description": None, "note": "a=b"}


@pytest.mark.asyncio
async def test_listening_delivers_what_is_on_the_list_once(
    online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oldest first, signed, and again where it was refused."""
    await online.send_to("1234567890")
    async with WebhookEndpoint().listening() as endpoint:
        endpoint.statuses = [500]
        arguments = ["--to", endpoint.url, "--secret", SECRET, "--since", "2025-01-01", "--once"]
        assert await invoke("listen", *arguments) == 0
        assert endpoint.types == ["posted", "posted", "counterparty_status_updated"]
        assert endpoint.is_signed(SECRET)
        assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["200", "200"]
        endpoint.statuses = [500] * 6
        assert await invoke("listen", *arguments, "--json") == 1
        assert [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()] == [500, 500]


@pytest.mark.asyncio
async def test_listening_goes_on_until_it_is_stopped(
    online: Scene, invoke: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What happens meanwhile is delivered; Ctrl-C ends it with 0; a secret is made up and printed."""
    monkeypatch.delenv("LEAD_WEBHOOK_SECRETS")
    async with WebhookEndpoint().listening() as endpoint:
        listening = asyncio.create_task(
            invoke("listen", "--to", endpoint.url, "--interval", "0.01", "--since", "2025-01-01")
        )
        await online.send_to("1234567890")
        while len(endpoint.events) < 2:
            await endpoint.arrived.wait()
            endpoint.arrived.clear()
        os.kill(os.getpid(), signal.SIGINT)
        assert await listening == 0
        assert len(endpoint.events) == 2
        out = capsys.readouterr().out
        assert endpoint.is_signed(out.splitlines()[0].removeprefix("export LEAD_WEBHOOK_SECRETS="))


@pytest.mark.asyncio
@pytest.mark.parametrize(("options", "status"), [((), 0), (("--once",), 130)])
async def test_ctrl_c_ends_a_long_backlog(options: tuple[str, ...], status: int, online: Scene, invoke: Any) -> None:
    """What is still to be delivered is left; whoever waits for the end of it is told so."""
    await online.send_to("1234567890")
    async with WebhookEndpoint().listening() as endpoint:
        endpoint.gate = asyncio.Event()  # nothing is answered
        arguments = ["--to", endpoint.url, "--secret", SECRET, "--since", "2025-01-01", *options]
        listening = asyncio.create_task(invoke("listen", *arguments))
        await endpoint.arrived.wait()
        os.kill(os.getpid(), signal.SIGINT)
        assert await listening == status
        endpoint.gate.set()
        assert len(endpoint.events) == 1


@pytest.mark.asyncio
async def test_a_bank_that_fails_ends_the_listening(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong at a look at the list is not taken for a quiet bank."""
    monkeypatch.setenv("LEAD_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("LEAD_CLIENT_ID", "client")
    monkeypatch.setenv("LEAD_CLIENT_SECRET", "secret")
    with pytest.raises(RequestNotSentError):
        await invoke("listen", "--to", "http://127.0.0.1:1/", "--secret", SECRET)


@pytest.mark.asyncio
async def test_an_interval_of_nothing_is_refused(online: Scene, invoke: Any) -> None:
    """It would ask without a pause."""
    with pytest.raises(ConfigurationError, match="interval"):
        await invoke("listen", "--to", "http://127.0.0.1:1/", "--interval", "0")


@pytest.mark.asyncio
async def test_what_was_delivered_is_remembered_in_bounds(online: Scene) -> None:
    """Each look begins a minute behind the newest event, and delivers none twice."""
    async with WebhookEndpoint().listening() as endpoint:
        payment = await online.send_to("1234567890")
        follower = Follower(online.lead, endpoint.url, SECRET, payment.created_at)
        follower._seen.update({f"event_{number}": None for number in range(MAX_SEEN)})
        await follower.look()
        await follower.look()
        assert len(endpoint.events) == 2
        assert len(follower._seen) == MAX_SEEN
        assert orjson.loads(endpoint.bodies[0]) == endpoint.events[0]

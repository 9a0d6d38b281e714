"""Refused webhooks and wrong settings: errors and logs name the problem and do not quote the value."""

import json
from typing import Any

import pytest

from leadpay import config, errors
from leadpay.client import LeadClient, requests
from leadpay.client.auth import token_request
from leadpay.client.transport import Response
from leadpay.config import Credentials, Settings
from leadpay.inbox import open_inbox
from leadpay.models import AccessToken
from leadpay.webhooks.event import parse
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.signature import HEADER, sign, verify
from tests.privacy.leaks import (
    CANARIES,
    CLIENT_SECRET,
    NAME,
    OLDER_SECRET,
    PASSWORD,
    PAYMENT,
    TOKEN,
    WEBHOOK_SECRET,
    LeakDetector,
    find_canaries,
)
from tests.webhooks.conftest import NOW, StoppedClock

EVERYTHING = ", ".join(CANARIES.values())
AT = int(NOW * 1000)
UNREADABLE: dict[str, Any] = {"id": "event_1", "created_at": "2024-03-01T09:30:00Z", "event": "instant_payment.posted"}


def header(body: bytes, at: int = AT, secret: str = WEBHOOK_SECRET) -> dict[str, str]:
    return {HEADER: sign(body, secret, at)}


FORGED_HEADERS = [
    {},
    {HEADER: EVERYTHING},
    {HEADER: f"t={EVERYTHING},v0={EVERYTHING}"},
    {HEADER: f"t={AT},v9={WEBHOOK_SECRET}"},
    {HEADER: f"t={AT},v0={WEBHOOK_SECRET}"},
    header(EVERYTHING.encode(), AT - 900_000),
    header(EVERYTHING.encode(), AT + 900_000, OLDER_SECRET),
]


def make_receiver(leaks: LeakDetector, **settings: Any) -> WebhookReceiver:
    """A receiver with two secrets."""
    return WebhookReceiver(
        WebhookRouter("canaries"),
        secrets=[WEBHOOK_SECRET, OLDER_SECRET],
        clock=StoppedClock(),
        observer=leaks.observe,
        **settings,
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("headers", FORGED_HEADERS, ids=range(len(FORGED_HEADERS)))
async def test_a_forged_webhook_is_refused_and_not_quoted(headers: dict[str, str], leaks: LeakDetector) -> None:
    """This holds for the receiver and for ``verify``."""
    receiver = make_receiver(leaks)
    assert await receiver.receive(body=EVERYTHING.encode(), headers=headers) == 401
    with pytest.raises(errors.SignatureError) as found:
        verify(EVERYTHING.encode(), headers.get(HEADER), [WEBHOOK_SECRET, OLDER_SECRET], now_ms=AT)
    leaks.record(error=found.value, receiver=receiver, counts=receiver.counts)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body",
    [
        EVERYTHING.encode(),
        b"\xff" + EVERYTHING.encode(),
        json.dumps({EVERYTHING: EVERYTHING}).encode(),
        json.dumps({**UNREADABLE, "id": [EVERYTHING]}).encode(),
        json.dumps({**UNREADABLE, "object": EVERYTHING}).encode(),
        json.dumps({**UNREADABLE, "object": {"creditor": {"name": [NAME]}, "amount": EVERYTHING}}).encode(),
    ],
)
async def test_a_malformed_authentic_body_is_not_quoted(body: bytes, leaks: LeakDetector) -> None:
    """Only the paths of known fields are in the error."""
    receiver = make_receiver(leaks)
    assert await receiver.receive(body=body, headers=header(body)) == 400
    with pytest.raises(errors.MalformedEventError) as found:
        parse(body)
    leaks.record(error=found.value)


@pytest.mark.asyncio
async def test_an_event_of_another_product_is_not_quoted(leaks: LeakDetector) -> None:
    """It has no handler, which is logged with a handler to paste."""
    body = json.dumps({**UNREADABLE, "event": "ach.returned", "object": {"name": NAME, "text": EVERYTHING}}).encode()
    receiver = make_receiver(leaks)
    assert await receiver.receive(body=body, headers=header(body, secret=OLDER_SECRET)) == 200
    assert await receiver.receive(body=body, headers=header(body)) == 200
    leaks.record(event=parse(body))
    assert any("paste this one" in record.getMessage() for record in leaks.logs)


def test_secrets_are_in_no_repr(leaks: LeakDetector) -> None:
    """This covers settings, credentials, tokens, clients, receivers and inboxes."""
    url = f"postgresql://me:{PASSWORD}@127.0.0.1:1/lead"
    settings = Settings.from_env(
        {
            "LEAD_CLIENT_ID": "me",
            "LEAD_CLIENT_SECRET": CLIENT_SECRET,
            "LEAD_WEBHOOK_SECRETS": f"{WEBHOOK_SECRET},{OLDER_SECRET}",
            "LEAD_INBOX": url,
        }
    )
    assert find_canaries(f"{settings.client_secret} {settings.webhook_secrets} {settings.inbox}") == {
        "client secret",
        "webhook secret",
        "older webhook secret",
        "database password",
    }
    leaks.record(settings=settings, credentials=Credentials(client_id="me", client_secret=CLIENT_SECRET))
    leaks.record(
        token=AccessToken(access_token=TOKEN), receiver=make_receiver(leaks), dispatcher=make_receiver(leaks).dispatcher
    )
    leaks.record(lead=LeadClient(client_id="me", client_secret=CLIENT_SECRET), fixed=LeadClient(token=TOKEN))


def test_the_reprs_of_requests_and_responses_have_no_bodies(leaks: LeakDetector) -> None:
    """Error trackers store the repr of every local variable."""
    asking = token_request(Credentials(client_id="me", client_secret=CLIENT_SECRET))
    sending = requests.send(**PAYMENT, currency_code="USD", key="mine")
    response = Response(200, {"X-Token": TOKEN}, sending.body)
    assert find_canaries(f"{asking.body!r} {sending.body!r} {response.body!r}") >= {
        "client secret",
        "name",
        "account number",
    }
    leaks.record(asking=asking, sending=sending, response=response)


@pytest.mark.asyncio
async def test_wrong_settings_are_named_and_not_quoted(leaks: LeakDetector) -> None:
    """A user may have put a secret into the wrong variable."""
    wrong: list[Any] = [
        lambda: config.base_url(CLIENT_SECRET, None),
        lambda: config.base_url(None, f"https://me:{PASSWORD}@api.lead.bank"),
        lambda: config.base_url(None, f"https://[{PASSWORD}"),
        lambda: config.base_url(None, f"https://me:{PASSWORD}"),
        lambda: config.base_url(None, f"http://{PASSWORD}.example"),
        lambda: LeadClient(environment=CLIENT_SECRET, base_url=PASSWORD),
        lambda: LeadClient(token=f"{TOKEN}\n"),
        lambda: LeadClient(token=TOKEN, client_secret=CLIENT_SECRET),
        lambda: LeadClient(client_id="me", client_secret=f"{CLIENT_SECRET}\ud800"),
        lambda: WebhookReceiver(WebhookRouter(), secrets=[WEBHOOK_SECRET, ""]),
        lambda: WebhookReceiver(WebhookRouter(), secrets=f"{WEBHOOK_SECRET}\ud800"),
        lambda: open_inbox(f"mysql://me:{PASSWORD}@host/lead"),
    ]
    for number, make in enumerate(wrong):
        with pytest.raises(errors.ConfigurationError) as found:
            make()
        leaks.record(**{f"setting {number}": found.value})

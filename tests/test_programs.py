"""Several programs in one process: each webhook, client and inbox belongs to one of them."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from leadpay import Context, InstantPaymentEvent, Programs, Settings, WebhookRouter
from leadpay.errors import ConfigurationError
from leadpay.sandbox import Sandbox
from leadpay.webhooks.receiver import WebhookReceiver
from tests.webhooks.conftest import StoppedClock, make_body, signed  # noqa: F401 - fixtures

CARDS = Settings(client_id="cards", client_secret="hush_1", webhook_secrets=("whsec_cards", "whsec_cards_old"))
PAYROLL = Settings(client_id="payroll", client_secret="hush_2", webhook_secrets=("whsec_payroll",))
BOTH = {"cards": CARDS, "payroll": PAYROLL}


def noting(name: str, seen: list[Any]) -> WebhookRouter:
    """Make a router whose handler notes the program, the client and the event."""
    router = WebhookRouter(name)

    @router.posted(name="credit")
    async def credit(event: InstantPaymentEvent, context: Context) -> None:
        seen.append((name, context.program, context.client, event.id))

    return router


@pytest.mark.asyncio
async def test_the_secret_that_matched_names_the_program(
    make_body: Callable[..., bytes],  # noqa: F811 - the fixture
    signed: Callable[..., dict[str, str]],  # noqa: F811 - the fixture
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each handler gets the client of its program; a stranger's webhook belongs to none."""
    seen: list[Any] = []
    caplog.set_level(logging.INFO)
    async with Programs(BOTH) as programs:
        receiver = programs.receiver({name: noting(name, seen) for name in BOTH}, clock=StoppedClock())
        async with receiver:
            for number, secret in enumerate(("whsec_payroll", "whsec_cards_old", "whsec_cards")):
                body = make_body(event_id=f"event_{number}")
                headers = {name.upper(): value for name, value in signed(body, secret).items()}
                assert await receiver.receive(body=body, headers=headers) == 200
            assert await receiver.receive(body=b"{}", headers=signed(b"{}", "whsec_forged")) == 401
        assert seen == [
            ("payroll", "payroll", programs["payroll"].client, "event_0"),
            ("cards", "cards", programs["cards"].client, "event_1"),
            ("cards", "cards", programs["cards"].client, "event_2"),
        ]
        assert receiver.counts == {"mismatch": 1}
        assert receiver.receivers["cards"].counts == {"accepted": 2, "older_secret": 1}
        assert receiver.receivers["payroll"].counts == {"accepted": 1}
        assert (list(programs), len(programs), repr(programs)) == (["cards", "payroll"], 2, "Programs(cards, payroll)")
    assert not any(secret in caplog.text for secret in ("whsec", "hush"))


@pytest.mark.asyncio
async def test_each_program_works_on_its_own_inbox(
    tmp_path: Path,
    make_body: Callable[..., bytes],  # noqa: F811 - the fixture
    signed: Callable[..., dict[str, str]],  # noqa: F811 - the fixture
) -> None:
    """With its own consumer, called like it; an event is in one inbox only, also where its ID occurs in both."""
    seen: list[Any] = []
    stored = {name: attrs.evolve(one, inbox=f"sqlite:///{tmp_path / name}.db") for name, one in BOTH.items()}
    async with Programs(stored) as programs:
        receiver = programs.receiver({name: noting(name, seen) for name in BOTH}, clock=StoppedClock())
        body = make_body()
        async with receiver:
            for secret in ("whsec_cards", "whsec_payroll"):
                assert await receiver.receive(body=body, headers=signed(body, secret)) == 200
            async with asyncio.timeout(20):
                while len(seen) < 2:  # noqa: ASYNC110 - workers are tasks of their own
                    await asyncio.sleep(0.01)
        for name, program in programs.items():
            assert program.inbox is not None
            assert [one.name for one in await program.inbox.consumers()] == [name]
            assert [one.event_id async for one in program.inbox.events(consumer=name)] == ["event_1"]
        idle = programs.receiver({name: WebhookRouter(name) for name in BOTH}, work=False)
        async with idle:
            assert isinstance(idle, WebhookReceiver)
    assert sorted(one[:2] for one in seen) == [("cards", "cards"), ("payroll", "payroll")]


@pytest.mark.asyncio
async def test_a_client_pays_at_its_own_bank_with_its_own_token() -> None:
    """Two banks, two tokens, and no request at the wrong one."""
    async with Sandbox(delay=0, client_id="cards") as one, Sandbox(delay=0, client_id="payroll") as two:
        banks = {"cards": one, "payroll": two}
        settings = {
            name: Settings(
                base_url=bank.url,
                client_id=bank.client_id,
                client_secret=bank.client_secret,
                webhook_secrets=(bank.webhook_secret,),
            )
            for name, bank in banks.items()
        }
        async with Programs(settings) as programs:
            for name in banks:
                assert (await programs[name].client.instant_payments.list(limit=1)).objects == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "name at least one"),
        ({"a": CARDS, "b": attrs.evolve(PAYROLL, webhook_secrets=())}, "b: at least one signing secret"),
        ({"a": CARDS, "b": attrs.evolve(PAYROLL, webhook_secrets=("whsec_cards",))}, "a and b share a signing secret"),
        ({"a": CARDS, "b": attrs.evolve(PAYROLL, client_id="cards")}, "a and b share credentials"),
        (
            {"a": attrs.evolve(CARDS, inbox="sqlite:///x.db"), "b": attrs.evolve(PAYROLL, inbox="sqlite:///x.db")},
            "a and b share an inbox",
        ),
        ({"a": attrs.evolve(CARDS, client_secret=None)}, "client_id and client_secret"),
    ],
)
def test_what_two_programs_share_is_refused(settings: dict[str, Settings], message: str) -> None:
    """The message names programs, never a secret."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        Programs(settings)
    assert "whsec" not in str(caught.value)


def test_each_program_needs_a_router() -> None:
    """And each router a program."""
    programs = Programs(BOTH)
    for names in (["cards"], ["cards", "payroll", "wallets"]):
        with pytest.raises(ConfigurationError, match="one for each of cards, payroll"):
            programs.receiver({name: WebhookRouter(name) for name in names})

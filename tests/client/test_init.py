"""Making a client, its settings, its event loop, and closing it."""

import asyncio
import inspect
import re
from typing import Any
from unittest.mock import create_autospec

import aiohttp
import pytest

from leadpay.client import LeadClient
from leadpay.config import BASE_URLS
from leadpay.errors import (
    ConfigurationError,
    LeadError,
)
from leadpay.sandbox import Sandbox

ID = "instant_payment_1"


@pytest.mark.asyncio
async def test_five_hundred_tasks_without_a_token_make_one_token_request(send: Any) -> None:
    """And five hundred payments."""
    async with Sandbox(delay=0) as bank, bank.client() as lead:
        await asyncio.gather(*(send(lead) for _ in range(500)))
        assert bank.tokens.issued == 1
        assert len(bank.bank.payments.all()) == 500


@pytest.mark.asyncio
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_borrowed_session_with_an_auth_of_its_own_is_refused() -> None:
    """It would contradict the bank's token."""
    async with aiohttp.ClientSession(auth=aiohttp.BasicAuth("me", "s")) as session:
        with pytest.raises(ConfigurationError, match="auth"):
            LeadClient(token="t", session=session)


def test_a_second_event_loop_is_refused() -> None:
    """A client belongs to the loop that first used it."""
    lead = LeadClient(token="t", base_url="http://localhost:9")

    async def use() -> None:
        async with lead:
            pass

    async def only_enter() -> None:
        await lead.__aenter__()
        session = lead._transport._session
        assert session is not None
        await session.close()

    asyncio.run(only_enter())
    with pytest.raises(ConfigurationError, match="another event loop"):
        asyncio.run(use())


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"client_id": "me"},
        {"client_id": "me", "client_secret": ""},
        {"client_id": "me", "client_secret": "\ud800"},
        {"client_id": "me", "client_secret": b"s"},
        {"client_id": 5, "client_secret": "s"},
        {"client_id": "me", "client_secret": "s", "token": "t"},
        {"token": "t", "environment": "staging"},
        {"token": "t", "environment": "staging", "base_url": "http://localhost:1"},
        {"token": "t", "environment": "sandbox", "base_url": "https://api.lead.bank"},
        {"token": "t", "environment": "production", "base_url": "http://127.0.0.1:8000"},
        {"token": "t", "scope": "event/read"},
        {"token": " t"},
        {"token": "t", "max_per_second": 0},
        {"client_id": "me ", "client_secret": "s"},
        {"client_id": "me", "client_secret": "s\n"},
        {"client_id": "me", "client_secret": "s", "scope": ""},
        {"token": "t", "base_url": "http://example.com"},
        {"token": "t", "base_url": "http://localhost.example.com"},
        {"token": "t", "base_url": "ftp://localhost"},
        {"token": "t", "base_url": "https://user:pass@example.com"},
        {"token": "t", "base_url": "https://[::1"},
    ],
)
def test_contradictory_settings_are_refused_at_construction(arguments: dict[str, Any]) -> None:
    """Before anything can be sent anywhere."""
    with pytest.raises(ConfigurationError):
        LeadClient(**arguments)


def test_settings_come_from_a_mapping_and_arguments_go_first() -> None:
    """No secret is in the repr."""
    env = {"LEAD_CLIENT_ID": "me", "LEAD_CLIENT_SECRET": "s3cret", "LEAD_ENVIRONMENT": "production"}
    assert repr(LeadClient.from_env(env)) == "LeadClient(base_url='https://api.lead.bank')"
    local = {**env, "LEAD_BASE_URL": "http://127.0.0.1:1/"}
    del local["LEAD_ENVIRONMENT"]
    assert repr(LeadClient.from_env(local)) == "LeadClient(base_url='http://127.0.0.1:1')"
    assert "2" in repr(LeadClient.from_env(env, base_url="http://[::1]:2", token="t"))
    assert "api.lead.bank" in repr(LeadClient.from_env(local, environment="production"))
    with pytest.raises(ConfigurationError):
        LeadClient.from_env({})


@pytest.mark.asyncio
async def test_closing_that_is_interrupted_closes_the_session_all_the_same(new_bank: Any, send: Any) -> None:
    """Also while a token is on its way."""
    bank = await new_bank("hang")
    lead = bank.client(client_id="me", client_secret="s3cret")
    waiting = asyncio.create_task(send(lead))
    await bank.arrived.wait()
    owned = lead._transport._session
    closing = asyncio.create_task(lead.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert owned.closed
    with pytest.raises(LeadError):
        await waiting


@pytest.mark.parametrize(
    "arguments",
    [
        {"client_id": "me", "client_secret": "s\udcff"},
        {"token": "t", "base_url": "https://a..example"},
        {"token": "t", "base_url": f"https://{'a' * 70}.example"},
        {"token": 7},
    ],
)
def test_what_would_fail_at_every_call_is_refused_at_construction(arguments: dict[str, Any]) -> None:
    """A secret without bytes, a host that no resolver takes, a token that is no text."""
    with pytest.raises(ConfigurationError):
        LeadClient(**arguments)


def test_an_argument_goes_before_the_environment() -> None:
    """An environment by name beats an address that lies around; None is no argument."""
    env = {"LEAD_CLIENT_ID": "me", "LEAD_CLIENT_SECRET": "s", "LEAD_ENVIRONMENT": "production"}
    local = {**env, "LEAD_BASE_URL": "http://127.0.0.1:1"}
    production = f"LeadClient(base_url={BASE_URLS['production']!r})"
    assert repr(LeadClient.from_env(local, environment="production")) == production
    assert repr(LeadClient.from_env(env, base_url=None, token=None)) == production
    with pytest.raises(ConfigurationError, match="not the bank's production"):
        LeadClient.from_env(local)
    assert (
        repr(LeadClient.from_env(local, base_url="http://127.0.0.1:1")) == "LeadClient(base_url='http://127.0.0.1:1')"
    )
    both = LeadClient.from_env(local, environment="sandbox", base_url="http://127.0.0.1:2")
    assert repr(both) == "LeadClient(base_url='http://127.0.0.1:2')"


@pytest.mark.asyncio
async def test_every_write_without_a_key_gets_one_of_its_own(new_bank: Any, send: Any, payment: Any) -> None:
    """Of 128 random bits."""
    bank = await new_bank((200, payment()))
    async with LeadClient(base_url=bank.url, token="t") as lead:
        for _ in range(5):
            await send(lead)
    assert len(bank.keys) == 5
    assert all(re.fullmatch("[0-9a-f]{32}", key) for key in bank.keys)


@pytest.mark.asyncio
async def test_a_closed_client_names_the_key_of_a_write(new_bank: Any, send: Any) -> None:
    """Every error of a write carries its key."""
    lead = (await new_bank((200, {}))).client()
    await lead.aclose()
    with pytest.raises(ConfigurationError, match="closed") as caught:
        await send(lead, "mine")
    assert caught.value.idempotency_key == "mine"


def test_an_autospec_of_the_client_has_its_calls() -> None:
    """A user's mock of the client refuses a call that does not exist."""
    lead = create_autospec(LeadClient, instance=True)
    for group, call in (("instant_payments", "retrieve"), ("events", "retrieve"), ("simulate", "incoming")):
        assert inspect.iscoroutinefunction(getattr(getattr(lead, group), call))
    with pytest.raises(AttributeError):
        _ = lead.instant_payments.unheard_of

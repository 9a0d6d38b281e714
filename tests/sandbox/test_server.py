"""The bank on a port: what it sends, where a connection is cut, and how it starts and stops."""

import asyncio

import aiohttp
import pytest

from leadpay.models import Agent, Party
from leadpay.sandbox import ManualClock, Sandbox
from leadpay.sandbox.server import MAX_BODY
from tests.support.api_client import ORDER, PAYMENTS


def test_a_bank_that_does_not_run_has_no_address() -> None:
    """The error says how to run it; the repr shows no secret."""
    bank = Sandbox(client_secret="s3cret", webhook_secret="whsec")
    with pytest.raises(RuntimeError, match="async with"):
        bank.url  # noqa: B018 - the access is the test
    assert repr(bank) == "Sandbox(url=None)"


def test_an_invalid_fault_is_refused_at_construction() -> None:
    """The bank does not start."""
    with pytest.raises(ValueError, match="fault"):
        Sandbox(faults=["lost"])


def test_the_same_seed_makes_the_same_bank() -> None:
    """Identifiers and secrets are equal."""
    one, other, third = Sandbox(seed=7), Sandbox(seed=7), Sandbox(seed=8)
    assert (one.client_id, one.client_secret, one.webhook_secret) == (
        other.client_id,
        other.client_secret,
        other.webhook_secret,
    )
    assert one.client_id != third.client_id


@pytest.mark.asyncio
async def test_it_listens_on_ipv6_and_serves_its_description() -> None:
    """The URL has brackets, and the description needs no token."""
    async with Sandbox(host="::1") as bank, aiohttp.ClientSession() as session:
        assert bank.url.startswith("http://[::1]:")
        async with session.get(f"{bank.url}/openapi.json") as response:
            assert (await response.json())["openapi"] == "3.0.3"


@pytest.mark.asyncio
async def test_a_bank_whose_port_is_taken_leaves_nothing_open() -> None:
    """Neither a session nor a server stays open; once the port is free, the bank starts."""
    async with Sandbox() as first:
        second = Sandbox(port=int(first.url.rpartition(":")[2]))
        with pytest.raises(OSError, match="address already in use"):
            await second.__aenter__()
        assert second._session.closed
        assert second._runner.server is None
    async with second:
        assert second.url == f"http://127.0.0.1:{second._port}"


@pytest.mark.asyncio
async def test_a_body_that_is_too_large_is_not_read_to_its_end() -> None:
    """The status is 413, and the bank serves the next request."""
    async with Sandbox() as bank, aiohttp.ClientSession() as session:
        async with session.post(bank.url + PAYMENTS, data=b"x" * (MAX_BODY + 1)) as response:
            assert response.status == 413
        async with bank.client() as lead:
            assert (await lead.instant_payments.check_availability("111000111")).available


@pytest.mark.asyncio
@pytest.mark.parametrize(("fault", "made"), [("cut_before", 0), ("response_lost", 1), ("response_cut:value=10", 1)])
async def test_a_fault_cuts_the_connection(fault: str, made: int) -> None:
    """This is before the request is processed, after it, or inside the response's body."""
    async with Sandbox(faults=[f"{fault}:send"]) as bank, aiohttp.ClientSession() as session:
        credentials = {
            "grant_type": "client_credentials",
            "client_id": bank.client_id,
            "client_secret": bank.client_secret,
        }
        async with session.post(f"{bank.url}/v1/oauth/token", json=credentials) as response:
            token = (await response.json())["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
        with pytest.raises(aiohttp.ClientError) as caught:
            async with session.post(bank.url + PAYMENTS, json=ORDER, headers=headers) as response:
                await response.read()
        assert isinstance(caught.value, aiohttp.ClientPayloadError) == (fault == "response_cut:value=10")
        assert len(bank.bank.payments) == made


@pytest.mark.asyncio
async def test_a_slow_response_takes_its_time() -> None:
    """The time is that of the bank's clock."""
    clock = ManualClock()
    async with Sandbox(clock=clock, faults=["slow:check_availability:1:value=7"]) as bank, bank.client() as lead:
        checking = asyncio.create_task(lead.instant_payments.check_availability("111000111"))
        await clock.advance(6)
        assert not checking.done()
        await clock.advance(1)
        assert (await checking).available
        assert clock.monotonic() == 7


@pytest.mark.asyncio
async def test_a_bank_in_real_time_becomes_idle() -> None:
    """It does not wait for payments that are held; releasing and refusing them makes it busy again."""
    async with Sandbox(delay=0.001) as bank, bank.client() as lead:
        ids = []
        for number in ("9900000002", "9900000002", "1234567890"):
            payment = await lead.instant_payments.send(
                account_number_id="account_number_1",
                amount=1,
                creditor=Party(name="Alex Smith", account_number=number),
                creditor_agent=Agent(routing_number="111000111"),
            )
            ids.append(payment.id)
        await bank.wait_idle()
        bank.release(ids[0])
        bank.refuse(ids[1])
        await bank.wait_idle()
        statuses = [(await lead.instant_payments.retrieve(one)).status for one in ids]
        assert statuses == ["posted", "rejected", "posted"]

"""The bank's port: what travels over it, what is cut on it, and how the bank starts and stops."""

import asyncio
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from leadpay.models import Agent, Party
from leadpay.sandbox import ManualClock, Sandbox
from leadpay.sandbox.clock import RealClock
from leadpay.sandbox.http_api import Answer
from leadpay.sandbox.server import MAX_BODY, _cut
from tests.sandbox.desk import ORDER, PAYMENTS


def test_a_bank_that_does_not_run_has_no_address() -> None:
    """It says how to run it; its repr shows no secret."""
    bank = Sandbox(client_secret="s3cret", webhook_secret="whsec")
    with pytest.raises(RuntimeError, match="async with"):
        bank.url  # noqa: B018 - the access is the test
    assert repr(bank) == "Sandbox(url=None)"


def test_a_fault_that_makes_no_sense_is_refused_at_construction() -> None:
    """Before the bank runs."""
    with pytest.raises(ValueError, match="fault"):
        Sandbox(faults=["lost"])


@pytest.mark.asyncio
async def test_the_same_seed_makes_the_same_bank() -> None:
    """Identifiers and secrets too."""
    one, other, third = Sandbox(seed=7), Sandbox(seed=7), Sandbox(seed=8)
    assert (one.client_id, one.client_secret, one.webhook_secret) == (
        other.client_id,
        other.client_secret,
        other.webhook_secret,
    )
    assert one.client_id != third.client_id


@pytest.mark.asyncio
async def test_it_listens_on_ipv6_and_describes_itself() -> None:
    """The URL has brackets, and the description needs no token."""
    async with Sandbox(host="::1") as bank, aiohttp.ClientSession() as session:
        assert bank.url.startswith("http://[::1]:")
        async with session.get(f"{bank.url}/openapi.json") as answer:
            assert (await answer.json())["openapi"] == "3.0.3"


@pytest.mark.asyncio
async def test_a_bank_whose_port_is_taken_leaves_nothing_open() -> None:
    """Neither a session nor a server; once the port is free, it starts."""
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
    """413, and the bank goes on."""
    async with Sandbox() as bank, aiohttp.ClientSession() as session:
        async with session.post(bank.url + PAYMENTS, data=b"x" * (MAX_BODY + 1)) as answer:
            assert answer.status == 413
        async with bank.client() as lead:
            assert (await lead.instant_payments.check_availability("111000111")).available


@pytest.mark.asyncio
@pytest.mark.parametrize(("fault", "made"), [("cut_before", 0), ("answer_lost", 1), ("answer_cut:value=10", 1)])
async def test_a_connection_is_cut_where_it_was_asked_for(fault: str, made: int) -> None:
    """Before the work, after it, or inside the body."""
    async with Sandbox(faults=[f"{fault}:send"]) as bank, aiohttp.ClientSession() as session:
        login = {"grant_type": "client_credentials", "client_id": bank.client_id, "client_secret": bank.client_secret}
        async with session.post(f"{bank.url}/v1/oauth/token", json=login) as answer:
            token = (await answer.json())["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
        with pytest.raises(aiohttp.ClientError) as caught:
            async with session.post(bank.url + PAYMENTS, json=ORDER, headers=headers) as answer:
                await answer.read()
        assert isinstance(caught.value, aiohttp.ClientPayloadError) == (fault == "answer_cut:value=10")
        assert len(bank.bank.payments) == made


def test_a_connection_that_is_gone_is_not_cut() -> None:
    """Whoever hung up meanwhile needs no more."""
    gone: Any = SimpleNamespace(transport=None)
    _cut(gone, Answer(200, b""), 1)


@pytest.mark.asyncio
async def test_a_slow_answer_takes_the_time_it_was_told() -> None:
    """On the bank's own clock."""
    clock = ManualClock()
    async with Sandbox(clock=clock, faults=["slow:check_availability:1:value=7"]) as bank, bank.client() as lead:
        asking = asyncio.create_task(lead.instant_payments.check_availability("111000111"))
        await clock.advance(6)
        assert not asking.done()
        await clock.advance(1)
        assert (await asking).available
        assert clock.monotonic() == 7


@pytest.mark.asyncio
async def test_a_bank_on_real_time_comes_to_rest() -> None:
    """Payments that are held are not waited for; releasing and refusing them goes on."""
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
        await bank.settled()
        bank.release(ids[0])
        bank.refuse(ids[1])
        await bank.settled()
        ends = [(await lead.instant_payments.retrieve(one)).status for one in ids]
        assert ends == ["posted", "rejected", "posted"]


@pytest.mark.asyncio
async def test_time_does_not_run_backwards() -> None:
    """A manual clock says so; a real one has both scales."""
    with pytest.raises(ValueError, match="backwards"):
        await ManualClock().advance(-1)
    clock = RealClock()
    assert clock.now() > 1_700_000_000
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before


@pytest.mark.asyncio
async def test_a_sleeper_that_was_cancelled_is_passed_over() -> None:
    """And whoever sleeps for no time at all is not held."""
    clock = ManualClock()
    await clock.sleep(0)
    sleeper = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    sleeper.cancel()
    await clock.advance(10)
    assert sleeper.cancelled()
    assert clock.monotonic() == 10

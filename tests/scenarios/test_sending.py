"""The client against the sandbox: faults on the way, and one payment in the end."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from leadpay.client import LeadClient
from leadpay.errors import (
    AuthenticationError,
    ConflictError,
    KeyReusedError,
    OutcomeUnknownError,
    UnprocessableEntityError,
)
from leadpay.models import Agent, InstantPayment, Party
from leadpay.sandbox import ManualClock, Sandbox
from tests.support.rng import FixedRandom


class Ahead:
    """The bank's own clock, run ahead by every pause of the client, so that no test waits."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._ahead = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock.now() + self._ahead

    def monotonic(self) -> float:
        """Seconds."""
        return self._clock.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        """Let them pass."""
        self.slept.append(seconds)
        self._ahead += seconds


class SendingScenario:
    """A bank whose time stands still, and a client."""

    def __init__(self, bank: Sandbox, clock: ManualClock) -> None:
        self.bank = bank
        self.clock = clock
        self.ahead = Ahead(clock)
        self.lead: LeadClient = bank.client(clock=self.ahead, rng=FixedRandom())

    @property
    def payments(self) -> list[Any]:
        """What the bank has on its books."""
        return list(self.bank.bank.payments.all())

    async def send(self, key: str | None = None) -> InstantPayment:
        """Send the payment."""
        return await self.lead.instant_payments.send(
            account_number_id="account_number_1",
            amount=5000,
            creditor=Party(name="Alex Smith", account_number="1234567890"),
            creditor_agent=Agent(routing_number="111000111"),
            idempotency_key=key,
        )

    async def receive(self) -> InstantPayment:
        """Let a payment come in."""
        await self.lead.simulate.incoming(
            account_number_id="account_number_1",
            amount=5000,
            debtor=Party(name="Alex Smith", account_number="1234567890"),
            debtor_agent=Agent(routing_number="111000111"),
        )
        await self.clock.advance(10)
        return (await self.lead.instant_payments.list(direction="incoming")).objects[0]


@pytest_asyncio.fixture
async def scenario() -> AsyncIterator[SendingScenario]:
    clock = ManualClock()
    async with Sandbox(clock=clock, delay=1, seed=7) as bank:
        made = SendingScenario(bank, clock)
        async with made.lead:
            yield made


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "fault",
    [
        *("response_lost:send:3", "response_cut:send:3", "cut_before:send:3", "server_error_after:send:3"),
        *("bad_gateway_after:send:3", "bad_gateway:send:3", "in_progress:send:3", "rate_limited:send:3"),
        *("rate_limited_date:send:3", "token_expired:send:1", "response_lost:token:3", "unknown_field:send:1"),
    ],
)
async def test_whatever_goes_wrong_on_the_way_one_payment_is_sent(fault: str, scenario: SendingScenario) -> None:
    """One key, one payment at the bank, one result for the caller."""
    scenario.bank.faults.add(fault)
    payment = await scenario.send()
    assert [one.id for one in scenario.payments] == [payment.id]
    kind, _, times = fault.split(":")
    assert scenario.bank.faults.triggered == {kind: int(times)}


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ["response_lost:send:5", "server_error_after:send:5", "cut_before:send:5"])
async def test_a_crashed_caller_resumes_with_the_key_and_pays_once(fault: str, scenario: SendingScenario) -> None:
    """A new client, as after a restart, sends again with the key of the error."""
    scenario.bank.faults.add(fault)
    with pytest.raises(OutcomeUnknownError) as caught:
        await scenario.send()
    async with scenario.bank.client() as lead:
        scenario.lead = lead
        payment = await scenario.send(caught.value.idempotency_key)
        assert await scenario.send(caught.value.idempotency_key) == payment
    assert [one.id for one in scenario.payments] == [payment.id]


@pytest.mark.asyncio
async def test_a_key_for_another_payment_is_refused_and_not_repeated(scenario: SendingScenario) -> None:
    """A mistake in the program, told at once, and no refusal of the payment that was sent first."""
    await scenario.send("mine")
    with pytest.raises(KeyReusedError) as caught:
        await scenario.lead.instant_payments.send(
            account_number_id="account_number_1",
            amount=5001,
            creditor=Party(name="Alex Smith", account_number="1234567890"),
            creditor_agent=Agent(routing_number="111000111"),
            idempotency_key="mine",
        )
    assert (caught.value.attempts, caught.value.idempotency_key, len(scenario.payments)) == (1, "mine", 1)


@pytest.mark.asyncio
async def test_a_bank_that_hands_the_refused_token_out_again_ends_in_an_error(scenario: SendingScenario) -> None:
    """And nothing is sent."""
    await scenario.lead.instant_payments.list()
    scenario.bank.faults.add("token_expired:send")
    scenario.bank.faults.add("same_token:token")
    with pytest.raises(AuthenticationError):
        await scenario.send()
    assert scenario.payments == []


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ["response_lost:cancel:1", "cut_before:cancel:1", "bad_gateway_after:cancel:1"])
async def test_a_cancel_without_a_response_is_verified_by_the_payment(fault: str, scenario: SendingScenario) -> None:
    """Whether it had happened or not, it has in the end."""
    payment = await scenario.send()
    scenario.bank.faults.add(fault)
    assert (await scenario.lead.instant_payments.cancel(payment.id)).status == "canceled"


@pytest.mark.asyncio
async def test_a_cancel_that_comes_too_late_is_the_bank_s_refusal(scenario: SendingScenario) -> None:
    """Also where the first response was lost."""
    payment = await scenario.send()
    await scenario.clock.advance(60)
    scenario.bank.faults.add("cut_before:cancel:1")
    with pytest.raises(UnprocessableEntityError):
        await scenario.lead.instant_payments.cancel(payment.id)
    assert (await scenario.lead.instant_payments.retrieve(payment.id)).status == "posted"


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ["response_lost", "cut_before", "server_error_after"])
async def test_return_requests_without_a_response_are_made_and_rejected_once(
    fault: str, scenario: SendingScenario
) -> None:
    """Ours, by its key; theirs, by reading the payment."""
    sent = await scenario.send()
    await scenario.clock.advance(60)
    request_return = scenario.lead.instant_payments.request_return
    scenario.bank.faults.add(f"{fault}:request_return:2")
    assert len((await request_return(sent.id, reason="duplication")).return_requests) == 1
    with pytest.raises(ConflictError):
        await request_return(sent.id, reason="fraud_suspected")
    received = await scenario.receive()
    await scenario.lead.simulate.incoming_return_request(received.id, reason="duplication")
    await scenario.clock.advance(60)
    scenario.bank.faults.add(f"{fault}:reject_return_request:1")
    rejected = await scenario.lead.instant_payments.reject_return_request(received.id, reason="customer_requested")
    assert [one.status for one in rejected.return_requests] == ["rejected"]


@pytest.mark.asyncio
async def test_a_lost_response_to_a_return_makes_one_return(scenario: SendingScenario) -> None:
    """The new outgoing payment, once."""
    received = await scenario.receive()
    scenario.bank.faults.add("response_lost:return:2")
    returned = await scenario.lead.instant_payments.return_payment(received.id, reason="duplication")
    outgoing = await scenario.lead.instant_payments.list(direction="outgoing")
    assert [one.id for one in outgoing.objects] == [returned.id]
    assert returned.original_payment_id == received.id


@pytest.mark.asyncio
async def test_a_list_over_many_pages_has_every_payment_once(scenario: SendingScenario) -> None:
    """In the order of the bank, also from a page that was awaited."""
    sent = [(await scenario.send()).id for _ in range(7)]
    walked = [one.id async for one in scenario.lead.instant_payments.list(limit=2)]
    assert sorted(walked) == sorted(sent)
    first = await scenario.lead.instant_payments.list(limit=3)
    assert [one.id async for one in first] == walked
    back = [one.id async for one in scenario.lead.instant_payments.list(limit=2, ending_before=walked[-1])]
    assert sorted(back) == sorted(walked[:-1])

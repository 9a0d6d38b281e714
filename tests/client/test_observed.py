"""What an observer is told of calls and attempts."""

import asyncio
from typing import Any

import pytest

from leadpay.errors import ConfigurationError, NotFoundError, OutcomeUnknownError
from leadpay.instrumentation import AttemptEnded, AttemptStarted, CallEnded, CallStarted, Observation

SEND = CallStarted("send", "POST", "/v1/instant_payments", "mine")


@pytest.mark.asyncio
async def test_a_call_is_told_with_all_its_attempts(new_bank: Any, send: Any, payment: Any) -> None:
    """Silence, a server's error, the payment: three attempts of one call, in order, and nothing personal."""
    facts: list[Observation] = []
    bank = await new_bank("drop", (503, {}), (200, payment(), {"X-Request-Id": "r-3"}))
    async with bank.client(observer=facts.append) as lead:
        paid = await send(lead, "mine")
    assert [type(fact) for fact in facts] == [CallStarted, *[AttemptStarted, AttemptEnded] * 3, CallEnded]
    assert facts[0] == SEND._replace(base_url=bank.url)
    tries = [fact for fact in facts if isinstance(fact, AttemptEnded)]
    assert [(one.started.number, one.status, one.error, one.request_id) for one in tries] == [
        (1, None, "NoAnswerError", None),
        (2, 503, None, None),
        (3, 200, None, "r-3"),
    ]
    assert all(one.started.call is facts[0] for one in tries)
    ended = facts[-1]
    assert isinstance(ended, CallEnded)
    assert ended[:5] == (facts[0], 3, None, False, paid.id)
    assert paid.creditor.account_number not in repr(facts)


@pytest.mark.asyncio
async def test_an_unknown_outcome_is_told_as_such(new_bank: Any, send: Any) -> None:
    """It is the one fact to wake somebody up for."""
    facts: list[Observation] = []
    bank = await new_bank("drop")
    async with bank.client(observer=facts.append) as lead:
        with pytest.raises(OutcomeUnknownError) as caught:
            await send(lead, "mine")
    ended = facts[-1]
    assert isinstance(ended, CallEnded)
    assert (ended.attempts, ended.error, ended.outcome_unknown, ended.payment_id) == (
        caught.value.attempts,
        "OutcomeUnknownError",
        True,
        None,
    )


@pytest.mark.asyncio
async def test_a_write_cancelled_on_its_way_is_an_unknown_outcome(new_bank: Any, send: Any) -> None:
    """A read that is cancelled is not."""
    facts: list[Observation] = []
    bank = await new_bank("hang")
    async with bank.client(observer=facts.append) as lead:
        for call in (send(lead, "mine"), lead.instant_payments.retrieve("instant_payment_1")):
            bank.arrived.clear()
            task = asyncio.create_task(call)
            await bank.arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    ends = [fact for fact in facts if isinstance(fact, CallEnded)]
    assert [(one.error, one.outcome_unknown) for one in ends] == [("CancelledError", True), ("CancelledError", False)]


@pytest.mark.asyncio
async def test_a_token_is_a_call_of_its_own(new_bank: Any) -> None:
    """Told in between, without its secret."""
    facts: list[Observation] = []
    bank = await new_bank((200, {"access_token": "t0ken", "token_type": "Bearer"}), (404, {}), (404, {}))
    async with bank.client(client_id="me", client_secret="s3cret", observer=facts.append) as lead:
        with pytest.raises(NotFoundError):
            await lead.instant_payments.retrieve("instant_payment_1")
    assert [fact.operation for fact in facts if isinstance(fact, CallStarted)] == ["retrieve", "token"]
    assert "s3cret" not in repr(facts)
    assert "t0ken" not in repr(facts)


@pytest.mark.asyncio
async def test_an_observer_that_fails_harms_no_payment(
    new_bank: Any, send: Any, payment: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Its error is logged by its class, and the payment goes out."""

    def observe(fact: Observation) -> None:
        raise ValueError("canary")

    bank = await new_bank((200, payment()))
    async with bank.client(observer=observe) as lead:
        await send(lead)
    assert "the observer failed on CallStarted: ValueError" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.asyncio
async def test_a_closed_client_names_the_key_of_a_write(new_bank: Any, send: Any) -> None:
    """Every error of a write carries its key."""
    lead = (await new_bank((200, {}))).client()
    await lead.aclose()
    with pytest.raises(ConfigurationError, match="closed") as caught:
        await send(lead, "mine")
    assert caught.value.idempotency_key == "mine"

"""Writes that are settled by reading the payment, returns, and simulations: against a script of answers."""

import pytest

from leadpay.client.transport import Response
from leadpay.errors import (
    ConflictError,
    OutcomeUnknownError,
    UnprocessableEntityError,
)
from leadpay.models import Agent, Party
from tests.client.script import NOW, SILENCE, Bank, error, payment, request_of


@pytest.mark.asyncio
async def test_cancel_after_silence_reads_the_payment() -> None:
    """Canceled is done; anything else is sent again."""
    bank = Bank(SILENCE, payment(status="canceled"))
    assert (await bank.payments.cancel("instant_payment_1")).status == "canceled"
    assert bank.operations == ["cancel", "retrieve"]
    bank = Bank(SILENCE, payment(), payment(status="canceled"))
    assert (await bank.payments.cancel("instant_payment_1", idempotency_key="k")).status == "canceled"
    assert bank.operations == ["cancel", "retrieve", "cancel"]
    bank = Bank(payment(status="canceled"))
    assert (await bank.payments.cancel("instant_payment_1")).status == "canceled"


@pytest.mark.asyncio
async def test_cancel_s_refusal_counts_unless_the_payment_is_canceled() -> None:
    """The refusal of a repetition is checked against the payment."""
    with pytest.raises(UnprocessableEntityError):
        await Bank(error(422)).payments.cancel("instant_payment_1")
    bank = Bank(SILENCE, payment(), error(422), payment(status="canceled"))
    assert (await bank.payments.cancel("instant_payment_1")).status == "canceled"
    bank = Bank(SILENCE, payment(), error(422), payment(status="posted"))
    with pytest.raises(UnprocessableEntityError) as caught:
        await bank.payments.cancel("instant_payment_1")
    assert caught.value.idempotency_key == "key-0"


@pytest.mark.asyncio
async def test_cancel_that_cannot_be_settled_is_an_unknown_outcome() -> None:
    """The payment could not be read, or never says canceled, or the connection never comes back."""
    with pytest.raises(OutcomeUnknownError):
        await Bank(SILENCE).payments.cancel("instant_payment_1")
    script = [SILENCE, payment()] * 5
    with pytest.raises(OutcomeUnknownError) as caught:
        await Bank(*script).payments.cancel("instant_payment_1")
    assert caught.value.attempts == 5


@pytest.mark.asyncio
async def test_request_return_conflicts_unless_the_active_request_is_ours() -> None:
    """409 is final at first sight; after silence the payment is read."""
    args = {"payment_id": "instant_payment_1", "reason": "fraud_suspected"}
    with pytest.raises(ConflictError):
        await Bank(error(409)).payments.request_return(**args)
    bank = Bank(SILENCE, error(409), payment(return_requests=[request_of("pending")]))
    assert (await bank.payments.request_return(**args)).active_return_request is not None
    assert bank.operations == ["request_return", "request_return", "retrieve"]
    # No active request although the bank speaks of a conflict: our own key is in progress, so ask again.
    bank = Bank(SILENCE, error(409), payment(), payment(return_requests=[request_of("pending")]))
    assert (await bank.payments.request_return(**args)).active_return_request is not None


@pytest.mark.asyncio
async def test_reject_return_request_after_silence_looks_for_our_rejection() -> None:
    """Ours is by the client and recent; an old one is not it; an active one means that it has not happened."""
    args = {"payment_id": "instant_payment_1", "reason": "customer_requested"}
    ours = payment(return_requests=[request_of("rejected", "client")])
    assert (await Bank(SILENCE, ours).payments.reject_return_request(**args)).active_return_request is None
    for other in (
        [request_of("rejected", "client", at=NOW - 3600)],
        [request_of("rejected", "lead")],
        [request_of("rejected")],
        [request_of("accepted", "client")],
        [request_of("rejected", "client"), request_of("response_needed")],
    ):
        bank = Bank(SILENCE, payment(return_requests=other), ours)
        await bank.payments.reject_return_request(**args, idempotency_key="k")
        assert bank.operations == ["reject_return_request", "retrieve", "reject_return_request"]


@pytest.mark.asyncio
async def test_a_return_is_a_keyed_write() -> None:
    """It answers the new payment."""
    bank = Bank(SILENCE, payment(id="instant_payment_2"))
    returned = await bank.payments.return_payment("instant_payment_1", reason="duplication", idempotency_key="mine")
    assert (returned.id, bank.sent_keys) == ("instant_payment_2", {"mine"})


@pytest.mark.asyncio
async def test_the_simulations_answer_nothing() -> None:
    """An empty body or an empty object is a yes; each goes to its own path, with a key."""
    bank = Bank(Response(200, {}, b""), {})
    party, agent = Party(name="Canary", account_number="1"), Agent(routing_number="111000111")
    await bank.simulate.incoming(
        account_number_id="account_number_1",
        amount=1,
        debtor=party,
        debtor_agent=agent,
        description="x",
        end_to_end_id="E2E-1",
    )
    await bank.simulate.incoming_return("instant_payment_1", amount=1, reason="duplication")
    await bank.simulate.incoming_return_request("instant_payment_1", reason="duplication")
    await bank.simulate.incoming_return_request_rejection("instant_payment_1", reason="other", idempotency_key="k")
    await bank.simulate.incoming_return_request_acceptance("instant_payment_1")
    assert [request.path.removeprefix("/v1/simulate/instant_payments/") for request, _, _ in bank.sent] == [
        "incoming",
        "instant_payment_1/incoming_return",
        "instant_payment_1/incoming_return_request",
        "instant_payment_1/incoming_return_request_rejection",
        "instant_payment_1/incoming_return_request_acceptance",
    ]
    assert bank.sent[-1][0].body is None
    assert bank.sent_keys == {"key-0", "key-1", "key-2", "k", "key-3"}
    with pytest.raises(OutcomeUnknownError):
        await Bank(SILENCE).simulate.incoming_return_request_acceptance("instant_payment_1")

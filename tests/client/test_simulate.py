"""The simulations."""

import pytest

from leadpay.client import LeadClient
from leadpay.client.transport import Response
from leadpay.errors import ConfigurationError, OutcomeUnknownError
from leadpay.models import Agent, Party
from tests.support.scripted_transport import NO_ANSWER, Bank


@pytest.mark.asyncio
async def test_the_simulations_return_nothing() -> None:
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
    # The bank requires a text of the client for these reasons, and of a counterparty for none.
    await bank.simulate.incoming_return("instant_payment_1", amount=1, reason="narrative")
    await bank.simulate.incoming_return_request("instant_payment_1", reason="service_not_rendered")
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
        await Bank(NO_ANSWER).simulate.incoming_return_request_acceptance("instant_payment_1")


@pytest.mark.asyncio
@pytest.mark.parametrize("url", ["https://api.lead.bank", "https://API.LEAD.BANK:443/", "https://api.lead.bank/v0"])
async def test_production_cannot_be_simulated(url: str) -> None:
    """It is recognized by its host, however the address is written, and nothing is sent."""
    lead = LeadClient(token="t", base_url=url)
    with pytest.raises(ConfigurationError, match="simulate") as caught:
        await lead.simulate.incoming_return_request_acceptance("instant_payment_1", idempotency_key="mine")
    assert caught.value.idempotency_key == "mine"

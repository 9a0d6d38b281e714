"""``leadpay simulate``: what a counterparty would do."""

from typing import Any

import pytest

from leadpay.errors import NotFoundError
from tests.support.scene import Scene


@pytest.mark.asyncio
async def test_a_payment_comes_in_and_its_return_is_requested(
    online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each says in one line what happens."""
    await invoke("simulate", "incoming", "--account-number-id", "account_number_1", "--amount", "5000")
    await online.clock.advance(60)
    [payment] = (await online.lead.instant_payments.list()).objects
    assert (payment.amount, payment.direction) == (5000, "incoming")
    await invoke("simulate", "return-request", payment.id, "--reason", "duplication")
    await online.clock.advance(60)
    assert (await online.lead.instant_payments.retrieve(payment.id)).return_requests
    assert capsys.readouterr().out.splitlines() == [
        "a payment of 5000 cents comes to account_number_1",
        f"the return of {payment.id} is requested",
    ]


@pytest.mark.asyncio
async def test_the_counterparty_returns_and_responds(
    online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A return, and both responses to our return requests."""
    for command in (["return", "--amount", "5000", "--reason", "undue_payment"], ["acceptance"]):
        payment = await online.after(await online.send())
        if command == ["acceptance"]:
            await online.lead.instant_payments.request_return(payment.id, reason="duplication")
        await invoke("simulate", command[0], payment.id, *command[1:])
        await online.clock.advance(60)
        assert (await online.lead.instant_payments.list(direction="incoming", limit=1)).objects[0].is_return
    payment = await online.after(await online.send())
    await online.lead.instant_payments.request_return(payment.id, reason="duplication")
    await invoke("simulate", "rejection", payment.id, "--reason", "customer_requested", "--text", "no")
    await online.clock.advance(60)
    [request] = (await online.lead.instant_payments.retrieve(payment.id)).return_requests
    assert request.status == "rejected"
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.asyncio
async def test_a_payment_that_is_not_there_is_an_error(online: Scene, invoke: Any) -> None:
    """The bank says so."""
    with pytest.raises(NotFoundError):
        await invoke("simulate", "acceptance", "instant_payment_none")

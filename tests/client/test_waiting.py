from typing import Any

import pytest

from leadpay.client.waiting import PAUSES, WaitUntil, has_reached, pause
from leadpay.converter import structure
from leadpay.errors import InvalidRequestError
from leadpay.models import InstantPayment
from tests.support.payments import FULL, PAYMENTS
from tests.support.scene import open_scene

ALL: tuple[WaitUntil, ...] = ("posted", "arrived", "final")


def paid(status: str, counterparty_status: str | None = None, returns: tuple[str, ...] = ()) -> InstantPayment:
    """Give an outgoing payment with these statuses."""
    changes: dict[str, Any] = {
        "direction": "outgoing",
        "status": status,
        "counterparty_status": counterparty_status,
        "related_objects": {"return_payment_ids": list(returns)},
    }
    return structure({**PAYMENTS[FULL], **changes}, InstantPayment)


@pytest.mark.parametrize(
    ("payment", "reached"),
    [
        (paid("created"), ()),
        (paid("under_review"), ()),
        (paid("as_never_before"), ()),
        (paid("rejected"), ALL),
        (paid("canceled"), ALL),
        (paid("posted"), ("posted",)),
        (paid("posted", "under_review"), ("posted",)),
        (paid("posted", "posted"), ALL),
        (paid("posted", "rejected"), ("posted", "arrived")),
        (paid("posted", "rejected", ("instant_payment_r",)), ALL),
    ],
)
def test_a_wait_ends_when_it_is_reached_or_out_of_reach(payment: InstantPayment, reached: tuple[str, ...]) -> None:
    """A payment that bounced is final once it has a return."""
    assert tuple(until for until in ALL if has_reached(payment, until)) == reached


def test_pauses_grow() -> None:
    """The last one is repeated."""
    assert [pause(1), pause(2), pause(100)] == [0.5, 1.0, PAUSES[-1]]


@pytest.mark.asyncio
async def test_a_payment_is_awaited() -> None:
    """By looking at it; a wait that is too short says what it saw last."""
    async with open_scene() as scene:
        payment = await scene.send()
        await scene.clock.advance(60)
        arrived = await scene.lead.instant_payments.wait(payment.id, until="final", timeout=30)
        assert arrived.has_arrived
        other = await scene.send()
        with pytest.raises(TimeoutError, match="is created after 0 seconds"):
            await scene.lead.instant_payments.wait(other.id, timeout=0)
        with pytest.raises(InvalidRequestError, match="until"):
            await scene.lead.instant_payments.wait(other.id, until="done")  # type: ignore[arg-type]  # on purpose


@pytest.mark.asyncio
async def test_it_looks_again_after_a_pause() -> None:
    """By the client's clock."""

    class Moving:
        """A clock that moves with each sleep, and lets the bank move on."""

        def __init__(self, clock: Any) -> None:
            self.clock = clock
            self.now, self.monotonic = clock.now, clock.monotonic

        async def sleep(self, seconds: float) -> None:
            """Move."""
            await self.clock.advance(seconds)

    async with open_scene() as scene, scene.bank.client(clock=Moving(scene.clock)) as lead:
        payment = await scene.send()
        assert (await lead.instant_payments.wait(payment.id, until="posted")).funds_moved

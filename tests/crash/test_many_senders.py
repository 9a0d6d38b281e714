"""Several senders share one outbox, and a bank that is away: none twice, none missing, and no storm."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from leadpay.outbox import Limits, Outbox, Sender, content, open_outbox
from leadpay.sandbox import Sandbox
from tests.crash.processes import ALL
from tests.support.outbox import open_outbox_scene, payment

SENDERS: Final = 4
SHARED: Final = 20_000 if ALL else 100
QUEUED: Final = 10_000 if ALL else 150
GROUP: Final = 500
HALF_AN_HOUR: Final = 1_800


async def queue(outbox: Outbox, count: int) -> int:
    """Queue so many payments; gives how many cents are not held."""
    total = 0
    for first in range(0, count, GROUP):
        group = range(first, min(count, first + GROUP))
        given: dict[str, Any] = {"currency_code": "USD", "priority": 0}
        new = [
            content.send(**{**given, **payment(reference=f"p{n}", description=f"p{n}", amount=n % 7)}) for n in group
        ]
        total += sum(one.amount or 0 for one in await outbox.add_all(new) if one.state == "queued")
    return total


@pytest.mark.asyncio
async def test_four_senders_pay_each_instruction_once(postgres_url: str) -> None:
    """With every twentieth response lost, and a limit of a day that is never exceeded by a cent."""
    limit = SHARED * 2
    async with Sandbox(delay=0, seed=1) as bank, open_outbox(postgres_url, limits=Limits(per_day=limit)) as outbox:
        bank.faults.add("response_lost:send:5%")
        total = await queue(outbox, SHARED)
        assert limit - 6 < total <= limit
        async with AsyncExitStack() as stack:
            for _ in range(SENDERS):
                lead = await stack.enter_async_context(bank.client())
                shared = await stack.enter_async_context(open_outbox(postgres_url))
                await stack.enter_async_context(Sender(shared, lead))
            while {"queued", "sending", "in_doubt"} & set((await outbox.stats()).by_state):  # noqa: ASYNC110 - other connections change it
                await asyncio.sleep(0.1)
        paid = Counter(one.description for one in bank.bank.payments.all())
        assert set(paid.values()) == {1}
        accepted = [one async for one in outbox.instructions(state="accepted")]
        assert {one.reference for one in accepted} == set(paid)
        assert len({one.payment_id for one in accepted}) == len(accepted)
        assert sum(one.amount or 0 for one in accepted) == total
        assert bank.faults.triggered["response_lost"] > SHARED / 50


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ["cut_before:send", "bad_gateway:send"])
async def test_a_bank_that_is_away_for_half_an_hour_costs_patience(fault: str, tmp_path: Path) -> None:
    """None is lost, few requests are made while it is away, and then the queue is worked off in its order."""
    async with open_outbox_scene(f"sqlite:///{tmp_path / 'outbox.db'}") as scene:
        await queue(scene.outbox, QUEUED)
        scene.bank.faults.add(fault)
        senders = [scene.sender() for _ in range(SENDERS)]
        requests = 0
        for _ in range(HALF_AN_HOUR // 5):
            requests += sum(await asyncio.gather(*(sender.run_due() for sender in senders)))
            await scene.clock_only(5)
        assert 20 < requests < 200
        scene.bank.faults.clear()
        while (await scene.outbox.stats()).by_state != {"accepted": QUEUED}:
            await scene.clock_only(30)
            await asyncio.gather(*(sender.run_due() for sender in senders))
        order = [int(str(one.description)[1:]) for one in scene.bank.bank.payments.all()]
        assert sorted(order) == list(range(QUEUED))
        late = sum(abs(place - number) > 16 * SENDERS for place, number in enumerate(order))
        assert late <= requests

"""Slots for handlers: shares, queues, congestion, pauses."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from leadpay.inbox.breaker import PAUSES, SLOW_FAILURES
from leadpay.inbox.bulkhead import HOLD_BACK_SECONDS, HOLD_BACK_SPACING, QUEUE_SECONDS, Bulkhead, Slot
from leadpay.instrumentation import HandlerPaused
from tests.support.virtual_time import VirtualClock, VirtualLoop


def in_virtual_time(
    test: Callable[[Bulkhead, VirtualLoop], Coroutine[Any, Any, None]],
    total: int,
    *names: str,
    observer: Callable[[Any], object] | None = None,
) -> None:
    """Run a test with a bulkhead in a virtual loop."""
    with VirtualLoop.running() as loop:
        bulkhead = Bulkhead(total, lambda: names, VirtualClock(loop), observer)
        loop.run_until_complete(test(bulkhead, loop))


async def taken(bulkhead: Bulkhead, name: str) -> Slot:
    """Take a slot that is free."""
    slot = await bulkhead.take(name)
    assert isinstance(slot, Slot)
    return slot


@pytest.mark.parametrize(
    ("total", "names", "most", "left"),
    [
        (16, ("mail",), 16, 0),
        (16, ("mail", "credit"), 12, 4),
        (16, ("mail", "credit", "audit", "book"), 10, 2),
        (2, ("mail", "credit", "audit", "book"), 1, 1),
    ],
)
def test_a_handler_that_hangs_leaves_the_others_their_share(
    total: int, names: tuple[str, ...], most: int, left: int
) -> None:
    """It takes its own slots and the shared ones."""

    async def test(bulkhead: Bulkhead, _: VirtualLoop) -> None:
        hanging = [await bulkhead.take("mail") for _ in range(total + 1)]
        assert sum(isinstance(one, Slot) for one in hanging) == most
        for name in names[1:]:
            others = [await bulkhead.take(name) for _ in range(left + 1)]
            assert [isinstance(one, Slot) for one in others] == [True] * left + [False]

    in_virtual_time(test, total, *names)


def test_who_waits_is_served_first_come_first_served() -> None:
    """A slot that is freed in time goes to the first that may have it."""

    async def test(bulkhead: Bulkhead, loop: VirtualLoop) -> None:
        mails = [await taken(bulkhead, "mail") for _ in range(3)]
        order: list[str] = []

        async def wait(name: str) -> Slot:
            slot = await taken(bulkhead, name)
            order.append(name)
            return slot

        credit = await taken(bulkhead, "credit")
        waiting = [asyncio.create_task(wait(name)) for name in ("mail", "credit", "mail")]
        await asyncio.sleep(QUEUE_SECONDS / 2)
        bulkhead.give_back(credit)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert order == ["credit"]
        bulkhead.give_back(mails[0])
        bulkhead.give_back(mails[1])
        await asyncio.gather(*waiting)
        assert order == ["credit", "mail", "mail"]
        assert loop.time() == QUEUE_SECONDS / 2

    in_virtual_time(test, 4, "mail", "credit")


def test_a_handler_without_a_slot_is_held_back_and_soon_without_waiting() -> None:
    """Once one has waited in vain, the others come back later, a few at a time, until a slot is freed."""

    async def test(bulkhead: Bulkhead, loop: VirtualLoop) -> None:
        slot = await taken(bulkhead, "mail")
        start = VirtualClock(loop).now()
        first = start + QUEUE_SECONDS + HOLD_BACK_SECONDS
        assert [await bulkhead.take("mail") for _ in range(3)] == pytest.approx(
            [first, first + HOLD_BACK_SPACING, first + 2 * HOLD_BACK_SPACING]
        )
        assert loop.time() == QUEUE_SECONDS
        bulkhead.give_back(slot)
        await taken(bulkhead, "mail")
        await bulkhead.take("mail")
        assert loop.time() == 2 * QUEUE_SECONDS

    in_virtual_time(test, 1, "mail")


def test_a_run_that_is_cancelled_while_it_waits_keeps_no_slot() -> None:
    """Also if the slot was granted at the same moment."""

    async def test(bulkhead: Bulkhead, _: VirtualLoop) -> None:
        slot = await taken(bulkhead, "mail")
        waiting = [asyncio.create_task(bulkhead.take("mail")) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        bulkhead.give_back(slot)
        waiting[1].cancel()
        await asyncio.wait(waiting)
        assert all(one.cancelled() for one in waiting)
        await taken(bulkhead, "mail")

    in_virtual_time(test, 1, "mail")


def test_a_slot_that_is_granted_at_the_last_moment_is_kept() -> None:
    """The time to wait is over, and the slot is there."""

    async def test(bulkhead: Bulkhead, loop: VirtualLoop) -> None:
        slot = await taken(bulkhead, "mail")
        waiting = asyncio.create_task(bulkhead.take("mail"))
        loop.call_later(QUEUE_SECONDS, bulkhead.give_back, slot)
        assert isinstance(await waiting, Slot)
        assert isinstance(await bulkhead.take("mail"), float)

    in_virtual_time(test, 1, "mail")


def test_without_a_limit_a_run_waits_for_as_long_as_it_takes() -> None:
    """As in ``run_due``, which works until nothing is due."""

    async def test(bulkhead: Bulkhead, loop: VirtualLoop) -> None:
        bulkhead.queue_seconds = None
        loop.call_later(100, bulkhead.give_back, await taken(bulkhead, "mail"))
        await taken(bulkhead, "mail")
        assert loop.time() == 100

    in_virtual_time(test, 1, "mail")


def test_a_handler_that_keeps_timing_out_is_paused(caplog: pytest.LogCaptureFixture) -> None:
    """It is named, in the log and to the observer; after the pause, one attempt shows whether it works again."""

    async def test(bulkhead: Bulkhead, loop: VirtualLoop) -> None:
        async def attempt(*, failed: bool) -> None:
            slot = await taken(bulkhead, "mail")
            await asyncio.sleep(10)
            slot.failed = failed
            bulkhead.give_back(slot)

        early = await taken(bulkhead, "mail")
        for _ in range(SLOW_FAILURES):
            await attempt(failed=True)
        paused_at = VirtualClock(loop).now()
        assert await bulkhead.take("mail") == paused_at + PAUSES[0]
        assert await bulkhead.take("mail") == pytest.approx(paused_at + PAUSES[0] + HOLD_BACK_SPACING)
        await taken(bulkhead, "credit")
        await asyncio.sleep(PAUSES[0])
        await attempt(failed=False)
        bulkhead.give_back(early)
        await taken(bulkhead, "mail")

    seen: list[Any] = []
    with caplog.at_level("INFO"):
        in_virtual_time(test, 8, "mail", "credit", observer=seen.append)
    assert seen == [HandlerPaused("mail", SLOW_FAILURES, PAUSES[0])]
    assert "mail is paused for 30 seconds, since 5 attempts in a row took long and failed" in caplog.text
    assert "mail works again" in caplog.text


def test_a_pause_that_begins_while_a_run_waits_holds_for_it() -> None:
    """It was let in line, and not to an attempt."""

    async def test(bulkhead: Bulkhead, loop: VirtualLoop) -> None:
        slots = [await taken(bulkhead, "mail") for _ in range(SLOW_FAILURES)]
        await asyncio.sleep(10)
        waiting = asyncio.create_task(bulkhead.take("mail"))
        await asyncio.sleep(0)
        for slot in slots:
            slot.failed = True
            bulkhead.give_back(slot)
        assert await waiting == VirtualClock(loop).now() + PAUSES[0]
        await asyncio.sleep(PAUSES[0])
        await taken(bulkhead, "mail")

    in_virtual_time(test, SLOW_FAILURES, "mail")

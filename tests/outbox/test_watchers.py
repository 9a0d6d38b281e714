import asyncio

import pytest

from leadpay.outbox.watchers import Watchers

LONG = 60.0


@pytest.mark.asyncio
async def test_an_announcement_wakes_up_who_waits_for_that_instruction() -> None:
    """Another instruction's change, and nonsense, wake up no one."""
    watchers = Watchers()
    async with watchers.watch(7) as changed, watchers.watch(7) as also, watchers.watch(8) as other:
        waiting = [asyncio.ensure_future(one(LONG)) for one in (changed, also, other)]
        await asyncio.sleep(0)
        watchers.announce("nonsense")
        watchers.announce("7")
        await asyncio.gather(*waiting[:2])
        assert not waiting[2].done()
        watchers.all_changed()
        await waiting[2]
    watchers.changed([7, 8])
    assert watchers._changed == {}


@pytest.mark.asyncio
async def test_work_wakes_up_a_sender() -> None:
    """Also if it was announced before the sender waited; otherwise the time ends the wait."""
    watchers = Watchers()
    watchers.announce("work")
    await watchers.wait_for_work(LONG)
    watchers.changed([], has_work=True)
    await watchers.wait_for_work(LONG)
    await watchers.wait_for_work(0.0)

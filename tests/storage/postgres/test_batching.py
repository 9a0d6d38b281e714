"""What comes while a commit is under way shares the next one: every caller is told how its own event fared."""

import asyncio
from collections.abc import Sequence

import pytest

from leadpay.storage.postgres.batching import MAX_GROUP, InsertBatcher, Row


class Store:
    """A store that commits when it is let, and refuses what it is told to."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.refused: set[str] = set()
        self.open = asyncio.Event()
        self.gather = InsertBatcher(self.keep, is_refusal=lambda error: isinstance(error, ValueError))

    async def keep(self, rows: Sequence[Row]) -> set[str]:
        """Commit all or nothing."""
        names = [name for (name,) in rows]
        self.groups.append(names)
        await self.open.wait()
        if self.refused & set(names):
            raise ValueError(names)
        return set(names)

    async def add(self, *names: str) -> list[asyncio.Task[bool]]:
        """Ask for some, and let them begin."""
        tasks = [asyncio.create_task(self.gather.add((name,))) for name in names]
        await asyncio.sleep(0)
        return tasks


@pytest.mark.asyncio
async def test_what_comes_meanwhile_shares_the_next_commit() -> None:
    """The first goes alone, all others together; finishing waits for both."""
    store = Store()
    tasks = await store.add("a")
    await asyncio.sleep(0)
    tasks += await store.add("b", "c", "b")
    finishing = asyncio.create_task(store.gather.finish())
    await asyncio.sleep(0)
    assert not finishing.done()
    store.open.set()
    await finishing
    assert store.groups == [["a"], ["b", "c"]]
    assert [task.result() for task in tasks] == [True, True, True, False]
    await store.gather.finish()


@pytest.mark.asyncio
async def test_a_group_has_an_end() -> None:
    """Whoever came first doesn't wait for everybody."""
    store = Store()
    store.open.set()
    tasks = await store.add(*(str(number) for number in range(MAX_GROUP + 1)))
    assert all(await asyncio.gather(*tasks))
    assert [len(group) for group in store.groups] == [MAX_GROUP, 1]


@pytest.mark.asyncio
async def test_a_refused_one_spoils_no_other_and_who_has_gone_is_not_told() -> None:
    """Each is tried alone then; a caller that was cancelled meanwhile gets neither result nor error."""
    store = Store()
    store.refused = {"b", "c"}
    tasks = await store.add("a", "b", "c", "d")
    tasks[2].cancel()
    tasks[3].cancel()
    store.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await store.gather.finish()
    assert [type(result) for result in results] == [bool, ValueError, *[asyncio.CancelledError] * 2]
    assert store.groups == [["a", "b", "c", "d"], ["a"], ["b"], ["c"], ["d"]]

"""A process is killed at every statement, again and again: nothing accepted is lost, and no effect is doubled."""

import asyncio
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from random import Random
from typing import Final

import attrs
import psycopg
import pytest

from leadpay.inbox import open_inbox
from tests.crash.processes import ALL, PROCESSES
from tests.crash.victim import SQLITE, TABLE, WHEN, Life, event_ids, live
from tests.crash.wire import Wire
from tests.support.postgres import fresh_schema

SEEDS: Final = 200 if ALL else 6
MORE: Final = 20 if ALL else 0
"""How many seeds may come on top, for statements so rare that none of them was struck by chance."""

LIVES: Final = 3
"""How many lives of each seed end by a kill; the one after them ends well."""


class Case:
    """One store of its own, and the lives that are spent on it."""

    def __init__(self, url: str, journal: Path, seed: int) -> None:
        self._url = url
        self._seed = seed
        self._journal = journal
        self.said: list[str] = []
        """The statements of the last life, if it ended well."""
        self.struck: set[str] = set()

    async def spend(
        self, number: int, *, strike: int | None = None, aim: str | None = None, when: str = "before"
    ) -> None:
        """Live once, to the end or to the strike."""
        life = Life(
            url=self._url, seed=self._seed, number=number, journal=str(self._journal), strike=strike, aim=aim, when=when
        )
        if self._url.startswith(SQLITE):
            await _run(life)
            self.said, self.struck = self._told("said"), {one.partition(" ")[2] for one in self._told("died")}
            return
        wire = Wire(self._url, strike=strike, aim=aim, when=when)
        async with wire.listening() as url:
            await _run(attrs.evolve(life, url=url, strike=None), wire)
        self.said = wire.kinds
        if wire.struck is not None:
            self.struck.add(wire.struck)

    async def check(self) -> None:
        """ExclusiveSession what is in the store against what was promised."""
        async with open_inbox(self._url) as inbox:
            kept = {one.event_id: one async for one in inbox.events()}
        wanted = {event_id for event_id, _, _ in event_ids()}
        assert set(self._told("accepted")) == set(kept) == wanted, self._seed
        assert Counter(effects(self._url)) == dict.fromkeys(wanted, 1), self._seed
        ends = {one.event_id: one.state for one in kept.values()}
        assert ends == {one: "dead" if one.endswith("_1") else "done" for one in wanted}, self._seed

    def _told(self, word: str) -> list[str]:
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        return [line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} ")]


async def _run(life: Life, wire: Wire | None = None) -> None:
    child = PROCESSES.Process(target=live, args=(life,))
    if wire is not None:
        wire.hit = child.kill
    child.start()
    await asyncio.to_thread(child.join, 60)
    assert child.exitcode in (0, -signal.SIGKILL), f"seed {life.seed}, life {life.number}: {child.exitcode}"


def effects(url: str, sql: str = "SELECT event_id FROM effects") -> list[str]:
    """Read what the handler has written in its transactions."""
    if url.startswith(SQLITE):
        with closing(sqlite3.connect(url.removeprefix(SQLITE))) as connection:
            return [one for (one,) in connection.execute(sql)]
    with psycopg.connect(url) as postgres:
        return [one for (one,) in postgres.execute(sql.encode())]


@contextmanager
def sqlite_store(folder: Path, server: str) -> Iterator[str]:
    """Make a file."""
    path = folder / "inbox.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(TABLE)
    yield f"{SQLITE}{path}"


@contextmanager
def postgres_store(folder: Path, server: str) -> Iterator[str]:
    """Make a schema."""
    with fresh_schema(server) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(TABLE.encode())
        yield url


def _first(seed: int, said: list[str], struck: set[str], chance: Random) -> tuple[int, str | None]:
    """Aim a little further on with each seed; and then, since places shift by a few, at what was never struck."""
    if seed <= SEEDS:
        return 1 + (seed - 1) * len(said) // SEEDS, None
    aim = chance.choice(sorted(set(said) - struck))
    return chance.randint(1, said.count(aim)), aim


@pytest.mark.asyncio
@pytest.mark.parametrize("store", [sqlite_store, postgres_store])
async def test_nothing_is_lost_or_doubled_wherever_a_process_is_killed(
    store: Callable[[Path, str], AbstractContextManager[str]], tmp_path: Path, postgres_server: str
) -> None:
    """All that was answered 2xx is there and ends done or dead, and each transaction's effect is there once."""
    said: list[str] = []
    struck: set[str] = set()
    for seed in range(SEEDS + MORE + 1):
        if seed > SEEDS and set(said) <= struck:
            break
        folder = tmp_path / str(seed)
        folder.mkdir()
        with store(folder, postgres_server) as url:
            case, chance = Case(url, folder / "journal", seed), Random(seed)  # noqa: S311 - to be repeated
            if said:
                strike, aim = _first(seed, said, struck, chance)
                await case.spend(0, strike=strike, aim=aim, when=chance.choice(WHEN))
                for number in range(1, LIVES):
                    await case.spend(number, strike=chance.randint(1, len(said)), when=chance.choice(WHEN))
            await case.spend(LIVES)
            await case.check()
        said, struck = said or case.said, struck | case.struck
    assert struck
    if ALL:
        assert set(said) <= struck

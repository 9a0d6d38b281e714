"""Inserts that come while a commit is under way share the next commit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

MAX_GROUP: Final = 500
"""How many rows share one commit at most, so that the first of them doesn't wait for ever."""

Row: TypeAlias = tuple[Any, ...]
"""A row's columns, its ID first."""


class InsertBatcher:
    """Inserts rows, many in one commit when many come at once.

    Args:
        insert: commits rows of different IDs, and gives the IDs that were new.
        is_refusal: whether an error is about the contents of a row, so that the other rows are tried one by one.
    """

    def __init__(
        self, insert: Callable[[Sequence[Row]], Awaitable[set[str]]], *, is_refusal: Callable[[Exception], bool]
    ) -> None:
        self._insert = insert
        self._is_refusal = is_refusal
        self._waiting: list[tuple[Row, asyncio.Future[bool]]] = []
        self._running: asyncio.Task[None] | None = None

    async def add(self, row: Row) -> bool:
        """Return once the row is committed, and say whether it was new; raises what ``insert`` raises."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await future

    async def finish(self) -> None:
        """Wait for the rows that were added before."""
        if self._running is not None:
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
                await self._insert_group(group)
        finally:
            self._running = None

    async def _insert_group(self, group: Sequence[tuple[Row, asyncio.Future[bool]]]) -> None:
        rows: dict[Any, Row] = {}
        for row, _ in group:
            rows.setdefault(row[0], row)  # The second copy of an ID in one group is known by then.
        try:
            new = await self._insert(list(rows.values()))
        except Exception as error:  # noqa: BLE001 - it is raised in the tasks that wait
            if len(group) > 1 and self._is_refusal(error):
                for one in group:
                    await self._insert_group([one])
                return
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (row_id, *_), future in group:
            if not future.done():
                future.set_result(row_id in new)
            new.discard(row_id)

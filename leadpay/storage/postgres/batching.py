"""What comes while a commit is under way shares the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

MAX_GROUP: Final = 500
"""How many events share one commit at most, so that the first of them doesn't wait for ever."""

Row: TypeAlias = tuple[Any, ...]
"""What is kept of one event, its ID first."""


class InsertBatcher:
    """Keeps events, many in one go when many come at once.

    Args:
        keep: commits rows of different IDs, and gives the IDs that were new.
        is_refusal: whether an error was about what is in one of the rows, so that the others are worth another try.
    """

    def __init__(
        self, keep: Callable[[Sequence[Row]], Awaitable[set[str]]], *, is_refusal: Callable[[Exception], bool]
    ) -> None:
        self._keep = keep
        self._is_refusal = is_refusal
        self._waiting: list[tuple[Row, asyncio.Future[bool]]] = []
        self._running: asyncio.Task[None] | None = None

    async def add(self, row: Row) -> bool:
        """Come back once it is committed, and say whether it was new; raises what ``keep`` raises."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await future

    async def finish(self) -> None:
        """Wait for what has been asked for."""
        if self._running is not None:
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
                await self._answer(group)
        finally:
            self._running = None

    async def _answer(self, group: Sequence[tuple[Row, asyncio.Future[bool]]]) -> None:
        rows: dict[Any, Row] = {}
        for row, _ in group:
            rows.setdefault(row[0], row)  # A copy in the same group is known by then.
        try:
            new = await self._keep(list(rows.values()))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for those who asked
            if len(group) > 1 and self._is_refusal(error):
                for one in group:
                    await self._answer([one])
                return
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (event_id, *_), future in group:
            if not future.done():
                future.set_result(event_id in new)
            new.discard(event_id)

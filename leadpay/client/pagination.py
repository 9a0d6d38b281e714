"""A Page, and ``async for`` over cursors in constant memory."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar

import attrs

from leadpay.errors import MalformedResponseError, Problem

T = TypeVar("T")

MAX_EMPTY_PAGES: Final = 10
"""How many empty pages in a row are read while the bank says that there are more.

A cursor is the ID of the last object. So after an empty page the same page can only be requested again.
"""

FetchPage = Callable[[Mapping[str, Any]], Awaitable[tuple[tuple[T, ...], bool]]]
"""Reads one page: its objects, and whether there are more."""


class CycleDetector(NamedTuple):
    """Finds a cycle of cursors in constant memory (Brent's algorithm).

    One cursor is stored, and replaced after 1, 2, 4, 8 ... steps. So sooner or later the stored one is part of the
    cycle, and stays for longer than the cycle is long.
    """

    stored: str | None = None
    steps: int = 0
    limit: int = 1

    def advance(self, cursor: str) -> "CycleDetector | None":
        """Take one step; None if the cursor was seen before."""
        if cursor == self.stored:
            return None
        steps = self.steps + 1
        return CycleDetector(cursor, 0, self.limit * 2) if steps == self.limit else self._replace(steps=steps)


@attrs.frozen
class Page(Generic[T]):
    """One page of a list. ``async for`` continues from it over all pages that follow."""

    objects: tuple[T, ...]
    has_more: bool
    _query: Mapping[str, Any] = attrs.field(repr=False)
    _fetch: FetchPage[T] = attrs.field(repr=False, eq=False)
    _empty_pages: int = attrs.field(default=0, repr=False, eq=False)
    _cycle: CycleDetector = attrs.field(default=CycleDetector(), repr=False, eq=False)

    async def next_page(self) -> "Page[T] | None":
        """Read the next page; None if this is the last one.

        Raises:
            MalformedResponseError: the list doesn't advance.
            LeadError: the call failed.
        """
        if not self.has_more:
            return None
        query, empty_pages, cycle = self._next_query()
        objects, has_more = await self._fetch(query)
        return Page(objects, has_more, query, self._fetch, empty_pages, cycle)

    def _next_query(self) -> tuple[Mapping[str, Any], int, CycleDetector]:
        if not self.objects:
            if self._empty_pages + 1 >= MAX_EMPTY_PAGES:
                raise _stuck(f"is empty {MAX_EMPTY_PAGES} times in a row, although has_more is true")
            return self._query, self._empty_pages + 1, self._cycle
        backwards = "ending_before" in self._query
        name, edge = ("ending_before", self.objects[0]) if backwards else ("starting_after", self.objects[-1])
        cursor = getattr(edge, "id")  # noqa: B009 - only objects with IDs are listed; the type cannot say so
        cycle = self._cycle.advance(cursor)
        if cycle is None or self._query.get(name) == cursor:
            raise _stuck("ends where it has been before, although has_more is true")
        return {**self._query, name: cursor}, 0, cycle

    async def __aiter__(self) -> AsyncIterator[T]:
        """Iterate over this page and all that follow, holding one page at a time."""
        page: Page[T] | None = self
        while page is not None:
            for one in page.objects:
                yield one
            page = await page.next_page()


def read_page(data: Any, read: Callable[[Any], T]) -> tuple[tuple[T, ...], bool]:
    """Read the data of a list, and each object's data by a function.

    Raises:
        MalformedResponseError: it is no list of objects, or some of them cannot be read; paths begin at the body.
    """
    objects = data.get("objects") if isinstance(data, dict) else None
    has_more = data.get("has_more") if isinstance(data, dict) else None
    problems = []
    if not isinstance(objects, list):
        problems.append(Problem("$.objects", "must be an array"))
    if not isinstance(has_more, bool):
        problems.append(Problem("$.has_more", "must be a boolean"))
    read_objects = []
    for index, one in enumerate(objects if isinstance(objects, list) else ()):
        try:
            read_objects.append(read(one))
        except MalformedResponseError as error:
            problems += [Problem(f"$.objects[{index}]{path.removeprefix('$')}", why) for path, why in error.problems]
    if problems:
        raise MalformedResponseError(problems, body=data)
    return tuple(read_objects), bool(has_more)


def _stuck(reason: str) -> MalformedResponseError:
    return MalformedResponseError([Problem("$.objects", reason)])


@attrs.frozen
class AsyncPager(Generic[T]):
    """The result of ``list()``: ``await`` it for one page, or use ``async for`` to get every object."""

    _query: Mapping[str, Any] = attrs.field(repr=False)
    _fetch: FetchPage[T] = attrs.field(repr=False)

    def __await__(self) -> Generator[Any, None, Page[T]]:
        """Read the first page."""
        return self._first_page().__await__()

    async def __aiter__(self) -> AsyncIterator[T]:
        """Iterate over all pages, holding one at a time."""
        page: Page[T] | None = await self._first_page()
        while page is not None:
            for one in page.objects:
                yield one
            page = await page.next_page()

    async def _first_page(self) -> Page[T]:
        objects, has_more = await self._fetch(self._query)
        return Page(objects, has_more, self._query, self._fetch)

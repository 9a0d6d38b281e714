"""A Page, and ``async for`` over cursors in constant memory."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar

import attrs

from leadpay.converter import decode
from leadpay.errors import MalformedResponseError, Problem

T = TypeVar("T")

MAX_EMPTY_PAGES: Final = 10
"""How many empty pages in a row are asked for again while the bank says that there is more.

A cursor is the last object's ID, so past an empty page the walk can only ask again from where it was.
"""

Fetch = Callable[[Mapping[str, Any]], Awaitable[tuple[tuple[T, ...], bool]]]
"""Gets one page: its objects, and whether there are more."""


class CycleDetector(NamedTuple):
    """What a walk remembers of where it has been: one cursor, however long it gets (Brent's algorithm).

    The cursor is replaced after 1, 2, 4, 8 ... steps, so that sooner or later it lies on any circle, and stays for
    longer than the circle is long.
    """

    mark: Any = None
    steps: int = 0
    patience: int = 1

    def on(self, cursor: Any) -> "CycleDetector | None":
        """Go on to a cursor; None if the walk has been there before."""
        if cursor == self.mark:
            return None
        steps = self.steps + 1
        return CycleDetector(cursor, 0, self.patience * 2) if steps == self.patience else self._replace(steps=steps)


@attrs.frozen
class Page(Generic[T]):
    """One page of a list. ``async for`` goes on from it, over all pages that follow."""

    objects: tuple[T, ...]
    has_more: bool
    _query: Mapping[str, Any] = attrs.field(repr=False)
    _fetch: Fetch[T] = attrs.field(repr=False, eq=False)
    _empty: int = attrs.field(default=0, repr=False, eq=False)
    _trail: CycleDetector = attrs.field(default=CycleDetector(), repr=False, eq=False)

    async def next_page(self) -> "Page[T] | None":
        """Get the page that follows; None if this is the last one.

        Raises:
            MalformedResponseError: the list doesn't advance.
            LeadError: whatever the call raises.
        """
        if not self.has_more:
            return None
        query, empty, trail = self._next_query()
        objects, has_more = await self._fetch(query)
        return Page(objects, has_more, query, self._fetch, empty, trail)

    def _next_query(self) -> tuple[Mapping[str, Any], int, CycleDetector]:
        if not self.objects:
            if self._empty + 1 >= MAX_EMPTY_PAGES:
                raise _stuck(f"is empty {MAX_EMPTY_PAGES} times in a row, although has_more is true")
            return self._query, self._empty + 1, self._trail
        backwards = "ending_before" in self._query
        name, edge = ("ending_before", self.objects[0]) if backwards else ("starting_after", self.objects[-1])
        cursor = getattr(edge, "id")  # noqa: B009 - only things with IDs are listed; the type can't say so
        trail = self._trail.on(cursor)
        if trail is None or self._query.get(name) == cursor:
            raise _stuck("ends where it has been before, although has_more is true")
        return {**self._query, name: cursor}, 0, trail

    async def __aiter__(self) -> AsyncIterator[T]:
        """Walk over this page and all that follow, holding one page at a time."""
        page: Page[T] | None = self
        while page is not None:
            for one in page.objects:
                yield one
            page = await page.next_page()


def read_page(body: bytes, read: Callable[[Any], T]) -> tuple[tuple[T, ...], bool]:
    """Read the body of a list, and each object's data by a function.

    Raises:
        MalformedResponseError: it is no list of objects, or some of them cannot be read; paths begin at the body.
        ValueError: it is not JSON.
    """
    data = decode(body)
    objects = data.get("objects") if isinstance(data, dict) else None
    has_more = data.get("has_more") if isinstance(data, dict) else None
    problems = []
    if not isinstance(objects, list):
        problems.append(Problem("$.objects", "must be an array"))
    if not isinstance(has_more, bool):
        problems.append(Problem("$.has_more", "must be a boolean"))
    made = []
    for index, one in enumerate(objects if isinstance(objects, list) else ()):
        try:
            made.append(read(one))
        except MalformedResponseError as error:
            problems += [Problem(f"$.objects[{index}]{path.removeprefix('$')}", why) for path, why in error.problems]
    if problems:
        raise MalformedResponseError(problems, body=data)
    return tuple(made), bool(has_more)


def _stuck(reason: str) -> MalformedResponseError:
    return MalformedResponseError([Problem("$.objects", reason)])


@attrs.frozen
class AsyncPager(Generic[T]):
    """What ``list()`` gives: ``await`` it for one page, or ``async for`` over everything."""

    _query: Mapping[str, Any] = attrs.field(repr=False)
    _fetch: Fetch[T] = attrs.field(repr=False)

    def __await__(self) -> Generator[Any, None, Page[T]]:
        """Get the first page."""
        return self._first().__await__()

    async def __aiter__(self) -> AsyncIterator[T]:
        """Walk over all pages, holding one at a time."""
        page: Page[T] | None = await self._first()
        while page is not None:
            for one in page.objects:
                yield one
            page = await page.next_page()

    async def _first(self) -> Page[T]:
        objects, has_more = await self._fetch(self._query)
        return Page(objects, has_more, self._query, self._fetch)

"""A Page, and ``async for`` over cursors in constant memory."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar

import attrs

from leadpay.converter import encode, readable_id
from leadpay.errors import MalformedResponseError, Problem

logger = logging.getLogger("leadpay.client")

T = TypeVar("T")

MAX_EMPTY_PAGES: Final = 10
"""How many empty pages in a row are read while the bank says that there are more.

A cursor is the ID of the last object. So after an empty page the same page can only be requested again.
"""


@attrs.frozen
class UnreadableObject:
    """An object of a list that cannot be read as what the list holds."""

    id: str | None
    """Its ID, if that can be read."""
    payment_id: str | None
    """The payment that it is, or is about, if that can be read."""
    problems: tuple[Problem, ...]
    """What is wrong, path by path; never empty."""
    _data: Any = attrs.field(repr=False)

    @property
    def body(self) -> bytes:
        """The object as JSON. It can hold personal data."""
        return encode(self._data)

    def __str__(self) -> str:
        return f"{self.id or 'an object without an ID'}: " + "; ".join(f"{why} @ {path}" for path, why in self.problems)


class PageData(NamedTuple, Generic[T]):
    """What one response to a list says."""

    objects: tuple[T, ...]
    unreadable: tuple[UnreadableObject, ...]
    has_more: bool
    edges: tuple[str, str] | None
    """The IDs of the first and the last object that has one: the places from which the list goes on."""


FetchPage = Callable[[Mapping[str, Any]], Awaitable[PageData[T]]]
"""Reads one page."""


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
    """The objects, as the bank orders them: the newest first."""
    has_more: bool
    unreadable: tuple[UnreadableObject, ...]
    """The objects of this page that cannot be read. Iteration goes past them, and logs the first ones of a list."""
    _edges: tuple[str, str] | None = attrs.field(repr=False)
    _query: Mapping[str, Any] = attrs.field(repr=False)
    _fetch: FetchPage[T] = attrs.field(repr=False, eq=False)
    _empty_pages: int = attrs.field(default=0, repr=False, eq=False)
    _cycle: CycleDetector = attrs.field(default=CycleDetector(), repr=False, eq=False)
    _has_warned: bool = attrs.field(default=False, repr=False, eq=False)

    async def next_page(self) -> "Page[T] | None":
        """Read the next page; None if this is the last one.

        Raises:
            MalformedResponseError: the list doesn't advance.
            LeadError: the call failed.
        """
        if not self.has_more:
            return None
        query, empty_pages, cycle = self._next_query()
        data = await self._fetch(query)
        return _make_page(data, query, self._fetch, empty_pages, cycle, has_warned=self._has_warned)

    def _next_query(self) -> tuple[Mapping[str, Any], int, CycleDetector]:
        if self._edges is None:
            if self.unreadable:
                raise _stuck("has no ID to go on from, although has_more is true")
            if self._empty_pages + 1 >= MAX_EMPTY_PAGES:
                raise _stuck(f"is empty {MAX_EMPTY_PAGES} times in a row, although has_more is true")
            return self._query, self._empty_pages + 1, self._cycle
        name, cursor = ("ending_before", self._edges[0]) if self._is_backwards else ("starting_after", self._edges[1])
        cycle = self._cycle.advance(cursor)
        if cycle is None or self._query.get(name) == cursor:
            raise _stuck("ends where it has been before, although has_more is true")
        return {**self._query, name: cursor}, 0, cycle

    async def __aiter__(self) -> AsyncIterator[T]:
        """Iterate over this page and all that follow, holding one page at a time.

        The order is one throughout: the newest first; with ``ending_before``, the oldest first.
        """
        page: Page[T] | None = self
        while page is not None:
            for one in page.ordered:
                yield one
            page = await page.next_page()

    @property
    def ordered(self) -> tuple[T, ...]:
        """The objects in the order of iteration: with ``ending_before``, the oldest first."""
        return self.objects[::-1] if self._is_backwards else self.objects

    @property
    def _is_backwards(self) -> bool:
        return "ending_before" in self._query


def _make_page(
    data: PageData[T],
    query: Mapping[str, Any],
    fetch: FetchPage[T],
    empty_pages: int = 0,
    cycle: CycleDetector = CycleDetector(),  # noqa: B008 - a tuple
    *,
    has_warned: bool = False,
) -> Page[T]:
    """Make a page, and say once for each list that objects of it cannot be read."""
    if data.unreadable and not has_warned:
        logger.warning(
            "%d of a list's objects cannot be read, see Page.unreadable: %s", len(data.unreadable), data.unreadable[0]
        )
    has_warned = has_warned or bool(data.unreadable)
    return Page(data.objects, data.has_more, data.unreadable, data.edges, query, fetch, empty_pages, cycle, has_warned)


def read_page(data: Any, read: Callable[[Any], T]) -> PageData[T]:
    """Read the data of a list, and each object's data by a function. One that cannot be read costs only itself.

    Raises:
        MalformedResponseError: it is no list of objects.
    """
    found = data.get("objects") if isinstance(data, dict) else None
    if not isinstance(found, list):
        raise MalformedResponseError([Problem("$.objects", "must be an array")], body=data)
    objects, unreadable = [], []
    for one in found:
        try:
            objects.append(read(one))
        except MalformedResponseError as error:
            unreadable.append(UnreadableObject(error.object_id, error.payment_id, error.problems, one))
    ids = [one_id for one in found if (one_id := readable_id(one)) is not None]
    # If the bank does not say whether there are more, only an empty page tells that there are none.
    has_more = data.get("has_more")
    has_more = has_more if isinstance(has_more, bool) else bool(found)
    return PageData(tuple(objects), tuple(unreadable), has_more, (ids[0], ids[-1]) if ids else None)


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
        """Iterate over all pages, holding one at a time; with ``ending_before``, the oldest object comes first."""
        page: Page[T] | None = await self._first_page()
        while page is not None:
            for one in page.ordered:
                yield one
            page = await page.next_page()

    async def pages(self) -> AsyncIterator[Page[T]]:
        """Iterate over the pages, to see what is unreadable, too."""
        page: Page[T] | None = await self._first_page()
        while page is not None:
            yield page
            page = await page.next_page()

    async def _first_page(self) -> Page[T]:
        return _make_page(await self._fetch(self._query), self._query, self._fetch)

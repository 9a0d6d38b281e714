"""A page at a time, so that neither memory nor whoever waits for the store suffers from a long walk. Pure."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from leadpay.enums import EventType
from leadpay.inbox import EventState, StoredEvent

PAGE: Final = 100
"""How many rows are read, or emptied, in one go."""

LAST: Final = 2**63 - 1
"""No event has so great a number."""


def wanted(state: EventState | None, event_type: str | None) -> dict[str, str | None]:
    """Say which columns must have which values; a retired spelling of a type means the current one."""
    return {"state": state, "type": None if event_type is None else str(EventType(event_type).current)}


async def walk(
    read: Callable[[int, int], Awaitable[list[tuple[int, StoredEvent]]]], *, limit: int | None
) -> AsyncIterator[StoredEvent]:
    """Go through what is kept, newest receipt first.

    Args:
        read: gives so many of the newest events before a number, each with its number: ``read(before, size)``.
        limit: after how many to stop.
    """
    before, left = LAST, limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        page = await read(before, size)
        for number, delivery in page:
            before = number
            yield delivery
        if len(page) < size:
            return
        left = None if left is None else left - size


async def empty(purge: Callable[[], Awaitable[int]]) -> int:
    """Purge page after page until one isn't full, and count."""
    total, count = 0, PAGE
    while count == PAGE:
        count = await purge()
        total += count
    return total

"""The two calls about events. The bank keeps them for 90 days."""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from leadpay.client import queries, requests
from leadpay.client.executor import RequestExecutor
from leadpay.client.pagination import AsyncPager, PageData, read_page
from leadpay.converter import structure_event
from leadpay.enums import EventType, EventTypeLiteral
from leadpay.models import Event

_PATH: Final = "/v1/event"


class Events:
    """``lead.events``: lists the events whose webhooks were missed, too."""

    def __init__(self, executor: RequestExecutor) -> None:
        self._executor = executor

    async def retrieve(self, event_id: str) -> Event:
        """Read one event; an InstantPaymentEvent if it is about an instant payment."""
        return await self._executor.call(requests.retrieve_event(event_id), structure_event)

    def list(
        self,
        *,
        types: Collection[EventType | EventTypeLiteral] | None = None,
        object_id: str | None = None,
        created_after: datetime | None = None,
        created_on_or_after: datetime | None = None,
        created_before: datetime | None = None,
        created_on_or_before: datetime | None = None,
        limit: int | None = None,
        starting_after: str | None = None,
        ending_before: str | None = None,
        unlisted: bool = False,
    ) -> AsyncPager[Event]:
        """List events: ``await`` it for one page, or use ``async for`` to get all of them.

        Args:
            types: only events of these types, in either spelling.
            object_id: only events about this object.
            created_after: an aware time of creation, like the next three.
            created_on_or_after: see above.
            created_before: see above.
            created_on_or_before: see above.
            limit: objects on a page, 1 to 100; the bank's default is 10.
            starting_after: an event's ID; the list continues after it.
            ending_before: an event's ID; the list goes back from it to newer events, the oldest first.
            unlisted: whether to ask for types, and for kinds of objects, that this version does not know; they are
                logged.
        """
        query = queries.events(
            types=types,
            object_id=object_id,
            created_after=created_after,
            created_on_or_after=created_on_or_after,
            created_before=created_before,
            created_on_or_before=created_on_or_before,
            limit=limit,
            starting_after=starting_after,
            ending_before=ending_before,
            unlisted=unlisted,
        )
        return AsyncPager(query, self._get_page)

    async def _get_page(self, query: Mapping[str, Any]) -> PageData[Event]:
        return await self._executor.call(queries.request(_PATH, query), partial(read_page, read=structure_event))

"""The two calls about events. The bank keeps them for 90 days."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from leadpay.client import queries, requests
from leadpay.client.executor import Open
from leadpay.client.pagination import AsyncPager, read_page
from leadpay.converter import read_event, structure_event
from leadpay.models import Event

_PATH: Final = "/v1/event"


class Events:
    """``lead.events``: what was missed can be listed here."""

    def __init__(self, caller: Open) -> None:
        self._caller = caller

    async def retrieve(self, event_id: str) -> Event:
        """Read one event; an InstantPaymentEvent where it is about an instant payment."""
        return await self._caller().call(requests.retrieve_event(event_id), read_event)

    def list(
        self,
        *,
        types: Collection[str] | None = None,
        object_id: str | None = None,
        created_after: datetime | None = None,
        created_on_or_after: datetime | None = None,
        created_before: datetime | None = None,
        created_on_or_before: datetime | None = None,
        limit: int | None = None,
        starting_after: str | None = None,
        ending_before: str | None = None,
    ) -> AsyncPager[Event]:
        """List events: ``await`` it for one page, or ``async for`` over everything.

        Args:
            types: only events of these types, in either spelling.
            object_id: only events about this object.
            created_after: aware times of creation; likewise the next three.
            created_on_or_after: see above.
            created_before: see above.
            created_on_or_before: see above.
            limit: objects on a page, 1 to 100; the bank's default is 10.
            starting_after: an event's ID; the list goes on behind it.
            ending_before: an event's ID; the list is walked backwards from it.
        """
        filters = {name: value for name, value in locals().items() if name != "self"}
        return AsyncPager(queries.events(filters), self._page)

    async def _page(self, query: Mapping[str, Any]) -> tuple[tuple[Event, ...], bool]:
        return await self._caller().call(queries.request(_PATH, query), lambda body: read_page(body, structure_event))

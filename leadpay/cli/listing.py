"""Reading a list of the bank's objects: limits, time ranges, and printing while it goes on."""

from datetime import datetime
from typing import Any, TypeVar

from leadpay.cli.output import print_model, progress
from leadpay.client.pagination import AsyncPager
from leadpay.client.validation import MAX_LIMIT
from leadpay.models import AccountNumber, Event, InstantPayment

T = TypeVar("T", InstantPayment, Event, AccountNumber)


async def collect(pager: AsyncPager[T], limit: int, *, as_json: bool) -> list[T]:
    """Read at most ``limit`` objects, or all if it is 0; with ``as_json``, print each at once and return none."""
    found: list[T] = []
    with progress("read") as show:
        count = 0
        async for one in pager:
            if as_json:
                print_model(one)
            else:
                found.append(one)
            count += 1
            show(count)
            if count == limit:
                break
    return found


def page_size(limit: int) -> int:
    """Choose the size of a page, so that few objects take one request."""
    return min(limit, MAX_LIMIT) or MAX_LIMIT


def filters(*, since: datetime | None, until: datetime | None, **values: Any) -> dict[str, Any]:
    """Build the arguments of ``list()`` from the options that were given."""
    values["created_on_or_after"] = since and since.astimezone()
    values["created_before"] = until and until.astimezone()
    return {name: value for name, value in values.items() if value is not None}

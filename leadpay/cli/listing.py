"""Reading a list of the bank's objects: limits, time ranges, and printing while it goes on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from leadpay.cli.output import print_json, print_model, progress
from leadpay.client.pagination import AsyncPager, Page, UnreadableObject
from leadpay.client.validation import MAX_LIMIT
from leadpay.models import Model

T = TypeVar("T", bound=Model)


async def collect(pager: AsyncPager[T], limit: int, *, as_json: bool) -> list[T | UnreadableObject]:
    """Read at most ``limit`` objects, or all if it is 0; with ``as_json``, print each at once and return none.

    Those of a page that cannot be read come after its others, and the client has logged a warning of them.
    """
    found: list[T | UnreadableObject] = []
    with progress("read") as show:
        count = 0
        page: Page[T]
        async for page in pager.pages():
            listed: list[T | UnreadableObject] = [*page.objects, *page.unreadable]
            for one in listed:
                if as_json:
                    print_object(one)
                else:
                    found.append(one)
                count += 1
                show(count)
                if count == limit:
                    return found
    return found


def print_object(one: Model | UnreadableObject) -> None:
    """Print an object as the bank sends it, or what is wrong with it."""
    if isinstance(one, UnreadableObject):
        problems = [problem._asdict() for problem in one.problems]
        print_json({"unreadable": {"id": one.id, "payment_id": one.payment_id, "problems": problems}})
    else:
        print_model(one)


def unreadable_row(unreadable: UnreadableObject, columns: Sequence[str], mark: str) -> tuple[str, ...]:
    """Build a table row for an object that cannot be read: its ID, "unreadable" in the column ``mark``, and why."""
    problems = "; ".join(f"{why} @ {path}" for path, why in unreadable.problems)
    texts = {"ID": unreadable.id or "?", mark: "unreadable", columns[-1]: problems}
    return tuple(texts.get(column, "") for column in columns)


def page_size(limit: int) -> int:
    """Choose the size of a page, so that few objects take one request."""
    return min(limit, MAX_LIMIT) or MAX_LIMIT


def filters(*, since: datetime | None, until: datetime | None, **values: Any) -> dict[str, Any]:
    """Build the arguments of ``list()`` from the options that were given."""
    values["created_on_or_after"] = since and since.astimezone()
    values["created_before"] = until and until.astimezone()
    return {name: value for name, value in values.items() if value is not None}

"""``leadpay payments`` and ``leadpay events``: what the bank says, as a table for people or as JSON for programs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

from cyclopts import App, Parameter

from leadpay.cli.screen import masked, progress, say, say_model, table
from leadpay.client import LeadClient
from leadpay.client.pagination import AsyncPager
from leadpay.client.validation import MAX_LIMIT
from leadpay.converter import unstructure
from leadpay.demo import dollars
from leadpay.models import Event, InstantPayment

T = TypeVar("T", InstantPayment, Event)

AsJson = Annotated[bool, Parameter(name="--json", negative="")]

SHOWN: Final = frozenset(
    [
        *("amount", "at", "body", "by", "code", "deadline", "direction", "event", "id", "ids"),
        *("reason", "state", "status", "subject", "type", "uetr"),
    ]
)
"""The last words of the fields that are shown to people; any other, also one that the bank adds, may be personal."""

payments = App(name="payments", help="List the bank's instant payments, or show one.")
events = App(name="events", help="List the bank's events of the last 90 days, or show one.")


@payments.command(name="list")
async def list_payments(
    *,
    direction: str | None = None,
    status: str | None = None,
    counterparty_status: str | None = None,
    return_request_status: str | None = None,
    account_id: str | None = None,
    account_number_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 20,
    as_json: AsJson = False,
) -> None:
    """List payments, the newest first.

    Args:
        direction: outgoing or incoming.
        status: Our side: created, under_review, canceled, rejected or posted.
        counterparty_status: Their side: under_review, posted or rejected.
        return_request_status: pending, response_needed, accepted or rejected.
        account_id: Only this account's.
        account_number_id: Only this account number's.
        since: Only those made at this time or later, such as 2026-01-31T12:00:00, local unless it has an offset.
        until: Only those made before this time.
        limit: At most so many; 0 for all.
        as_json: One object a line, as the bank has it, names and account numbers included.
    """
    filters = {
        "direction": direction,
        "status": status,
        "counterparty_status": counterparty_status,
        "return_request_status": return_request_status,
        "account_id": account_id,
        "account_number_id": account_number_id,
        **_span(since, until),
    }
    async with LeadClient.from_env() as lead:
        found = await _take(lead.instant_payments.list(limit=_page(limit), **_given(filters)), limit, as_json)
    if not as_json:
        table(("CREATED", "ID", "DIRECTION", "AMOUNT", "STATUS", "OTHER SIDE", "NOTE"), map(payment_row, found))


@payments.command(name="show")
async def show_payment(payment_id: str, *, as_json: AsJson = False) -> None:
    """Show a payment.

    Args:
        payment_id: Its ID.
        as_json: As the bank has it, names and account numbers included.
    """
    async with LeadClient.from_env() as lead:
        _show(await lead.instant_payments.retrieve(payment_id), as_json)


@events.command(name="list")
async def list_events(
    *,
    types: Annotated[Sequence[str], Parameter(name="--type", negative="")] = (),
    object_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 20,
    as_json: AsJson = False,
) -> None:
    """List events, the newest first.

    Args:
        types: Only of this type, such as instant_payment.posted; may be given several times.
        object_id: Only about this object.
        since: Only those made at this time or later; in local time unless it has an offset.
        until: Only those made before this time.
        limit: At most so many; 0 for all.
        as_json: One object a line, as the bank has it, names and account numbers included.
    """
    filters = {"types": list(types) or None, "object_id": object_id, **_span(since, until)}
    async with LeadClient.from_env() as lead:
        found = await _take(lead.events.list(limit=_page(limit), **_given(filters)), limit, as_json)
    if not as_json:
        table(("CREATED", "ID", "TYPE", "OBJECT"), map(event_row, found))


@events.command(name="show")
async def show_event(event_id: str, *, as_json: AsJson = False) -> None:
    """Show an event.

    Args:
        event_id: Its ID.
        as_json: As the bank has it, names and account numbers included.
    """
    async with LeadClient.from_env() as lead:
        _show(await lead.events.retrieve(event_id), as_json)


def payment_row(payment: InstantPayment) -> tuple[str, ...]:
    """Write a payment as a row, without names and account numbers."""
    note = []
    if payment.is_return:
        note.append(f"return of {payment.original_payment_id}")
    if payment.rejection is not None:
        note.append(f"{payment.rejection.reason}, by {payment.rejection.rejected_by}")
    if payment.return_requests:
        note.append(f"return request {payment.return_requests[-1].status}")
    there = "" if payment.counterparty_status is None else str(payment.counterparty_status)
    return (
        _when(payment.created_at),
        payment.id,
        str(payment.direction),
        dollars(payment.amount),
        str(payment.status),
        there,
        "; ".join(note),
    )


def event_row(event: Event) -> tuple[str, ...]:
    """Write an event as a row."""
    about = event.payment_id
    if about is None:
        about = str(event.object.get("id", "")) if isinstance(event.object, dict) else ""
    return (_when(event.created_at), event.id, str(event.type), about)


async def _take(listing: AsyncPager[T], limit: int, as_json: bool) -> list[T]:
    """Collect what is wanted; as JSON, print each at once and keep none."""
    found: list[T] = []
    with progress("read") as tell:
        count = 0
        async for one in listing:
            if as_json:
                say_model(one)
            else:
                found.append(one)
            count += 1
            tell(count)
            if count == limit:
                break
    return found


def _page(limit: int) -> int:
    return min(limit, MAX_LIMIT) or MAX_LIMIT


def _span(since: datetime | None, until: datetime | None) -> dict[str, datetime | None]:
    return {
        "created_on_or_after": since and since.astimezone(),
        "created_before": until and until.astimezone(),
    }


def _given(filters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in filters.items() if value is not None}


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _show(model: InstantPayment | Event, as_json: bool) -> None:
    if as_json:
        say_model(model)
        return
    for path, value in flat(unstructure(model)):
        say(f"{path:<42}{value}")


def flat(data: Any, path: str = "") -> list[tuple[str, str]]:
    """Write nested JSON as lines of path and value; what may be a name, an account number or free text is masked."""
    if isinstance(data, dict):
        return [line for name, value in data.items() for line in flat(value, f"{path}.{name}".lstrip("."))]
    if isinstance(data, list):
        return [line for index, value in enumerate(data) for line in flat(value, f"{path}[{index}]")]
    leaf = path.rpartition(".")[2].partition("[")[0]
    text = "" if data is None else str(data)
    shown = leaf == "routing_number" or leaf.rpartition("_")[2] in SHOWN
    return [(path, text if shown or not text else masked(text))]

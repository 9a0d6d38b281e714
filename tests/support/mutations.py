"""The mutation matrix: what becomes of each field of each sample that the bank sends in another way.

``uv run python -m tests.support.mutations`` prints the table of all cases.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from leadpay.clock import SystemClock
from leadpay.converter import decode
from leadpay.errors import LeadError
from leadpay.inbox import open_inbox
from leadpay.inbox.backfill import backfill
from leadpay.models import Agent, Event, InstantPayment, InstantPaymentEvent, Party
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.signature import sign
from tests.support.payments import PAYMENTS
from tests.support.scripted_transport import Bank

SECRET: Final = "whsec_mutations"
MISSING: Final = object()
HUGE_TEXT: Final = "x" * 100_000
TYPES: Final = (
    *("posted", "rejected", "under_review", "counterparty_status_updated"),
    *("return_request_response_needed", "return_request_status_updated", "counterparty_status_update", "brand_new"),
)


class Case(NamedTuple):
    """A sample with one thing changed."""

    sample: str
    path: tuple[Any, ...]
    kind: str
    data: Any


def _changes(value: Any) -> Iterator[tuple[str, Any]]:
    """List what may become of a value: the kind of the mutation, and the new value."""
    yield "missing", MISSING
    yield "null", None
    match value:
        case str():
            changed = [7, "", "brand_new", "duplicate", f"{value}\ud800", HUGE_TEXT]
            names = ("wrong type", "empty", "unknown word", "older word", "surrogate", "huge")
            yield from zip(names, changed, strict=True)
        case int():
            yield from (("wrong type", str(value)), ("empty", 0), ("huge", 10**400))
        case list():
            yield from (("wrong type", {}), ("empty", []))
        case dict():
            yield from (("wrong type", []), ("empty", {}), ("extra field", {**value, "brand_new": {"a": [1]}}))


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in inner:
        yield from _places(child, (*path, step))


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    if len(path) == 1 and new is MISSING:
        del copy[path[0]]
    else:
        copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


def cases() -> list[Case]:
    """List every mutation of every payment, and of every type of event."""
    named = [(name, PAYMENTS[name]) for name in sorted(PAYMENTS)]
    full = PAYMENTS["everything at once, in the newer spellings"]
    named += [(f"event {one}", _event(f"instant_payment.{one}", full)) for one in TYPES]
    return [
        Case(name, path, kind, _replaced(sample, path, new))
        for name, sample in named
        for path, value in _places(sample)
        for kind, new in _changes(value)
        if path or new is not MISSING
    ]


def _event(event_type: str, payment: Any, number: int = 0) -> dict[str, Any]:
    when = "2024-03-01T09:30:00Z"
    return {"id": f"event_mutated{number}", "created_at": when, "event": event_type, "object": payment}


def _page(*objects: Any) -> dict[str, Any]:
    return {"objects": list(objects), "has_more": False}


class BrokenPromiseError(AssertionError):
    """A promise is broken."""


def _check(promise: str, *, holds: bool) -> None:
    if not holds:
        raise BrokenPromiseError(promise)


def _check_payment(payment: InstantPayment, data: Any) -> None:
    """A payment that was read shows the money, the ID and the direction that were sent."""
    sent = (data["id"], data["amount"], data["direction"], data["status"])
    read = (payment.id, payment.amount, payment.direction.as_sent, payment.status.as_sent)
    _check("money is misread", holds=sent == read and type(payment.amount) is int)


async def _send(data: Any) -> str:
    order = PAYMENTS["everything at once, in the newer spellings"]
    try:
        payment = await Bank(_of_payment(data)).payments.send(
            account_number_id=order["account_number_id"],
            amount=order["amount"],
            creditor=Party(**order["creditor"]),
            creditor_agent=Agent(**order["creditor_agent"]),
        )
    except LeadError as failure:
        _check("an error of send has no key", holds=failure.idempotency_key is not None)
        return type(failure).__name__
    _check_payment(payment, _of_payment(data))
    _check("another payment is taken for the one sent", holds=payment.amount == order["amount"])
    return "read"


async def _retrieve(data: Any) -> str:
    wanted = _of_payment(data)
    payment_id = wanted.get("id") if isinstance(wanted, dict) else None
    asked = payment_id if isinstance(payment_id, str) and payment_id.startswith("instant_payment_") else None
    try:
        payment = await Bank(wanted).payments.retrieve("instant_payment_1" if _is_odd(asked) else str(asked))
    except LeadError as failure:
        return type(failure).__name__
    _check_payment(payment, wanted)
    return "read"


def _is_odd(payment_id: str | None) -> bool:
    return payment_id is None or not payment_id.isascii() or len(payment_id) > len("instant_payment_") * 8


async def _list(data: Any) -> str:
    mutated = _of_payment(data)
    before, after = ({**PAYMENTS["outgoing, arrived"], "id": f"instant_payment_{one}"} for one in ("before", "after"))
    pages = [one async for one in Bank(_page(before, mutated, after)).payments.list().pages()]
    [page] = pages
    ids = [one.id for one in page.objects]
    _check("a list is blinded", holds={"instant_payment_before", "instant_payment_after"} <= set(ids))
    _check("an object of a list is lost", holds=len(ids) + len(page.unreadable) == len((before, mutated, after)))
    for one in page.objects[1:-1]:
        _check_payment(one, mutated)
    return "unreadable" if page.unreadable else "read"


async def _events(data: Any) -> str:
    [page] = [one async for one in Bank(_page(_good(1), _of_event(data), _good(2))).events.list().pages()]
    ids = {one.id for one in page.objects}
    _check("a list of events is blinded", holds={"event_mutated1", "event_mutated2"} <= ids)
    _check("an event of a list is lost", holds=len(page.objects) + len(page.unreadable) == 3)
    return "unreadable" if page.unreadable else "read"


def _good(number: int) -> dict[str, Any]:
    return _event("instant_payment.posted", PAYMENTS["outgoing, arrived"], number)


async def _webhook(data: Any) -> str:
    router = WebhookRouter("mutations")
    handled: list[Event] = []

    @router.on("*", mandatory=True, unlisted=True)
    async def handle(event: Event) -> None:
        handled.append(event)

    status = await _deliver(WebhookReceiver(router, secrets=SECRET), _of_event(data))
    _check("a webhook's status is neither 200 nor 400", holds=status in {200, 400})
    _check("a webhook is accepted and not handled", holds=len(handled) == (status == 200))
    for event in handled:
        if isinstance(event, InstantPaymentEvent):
            _check_payment(event.payment, _of_event(data)["object"])
    return "read" if handled else "400"


async def _webhook_with_inbox(data: Any) -> str:
    async with open_inbox("sqlite:///:memory:") as inbox:
        async with WebhookReceiver(WebhookRouter("kept"), secrets=SECRET, inbox=inbox, work=False) as receiver:
            for one in (_good(1), _of_event(data), _good(2)):
                _check("a webhook is not accepted", holds=await _deliver(receiver, one) == 200)
        return _kept((await inbox.stats()).by_state)


async def _backfill(data: Any) -> str:
    now = datetime.now(UTC)
    async with open_inbox("sqlite:///:memory:") as inbox:
        client: Any = Bank(_page(_good(1), _of_event(data), _good(2)))
        await backfill(client, inbox, since=now - timedelta(minutes=1), clock=SystemClock())
        return _kept((await inbox.stats()).by_state)


def _kept(by_state: Any) -> str:
    _check("an event is lost", holds=sum(by_state.values()) == 3)
    return "unreadable" if by_state.get("unreadable") else "read"


async def _deliver(receiver: WebhookReceiver, data: Any) -> int:
    body = json.dumps(data).encode()
    header = sign(body, SECRET, int(SystemClock().now() * 1000))
    return await receiver.receive(body=body, headers={"Lead-Signature": header})


def _of_payment(data: Any) -> Any:
    """Find the payment of a case: the object of an event, or the data itself."""
    return data.get("object") if isinstance(data, dict) and "event" in data else data


def _of_event(data: Any) -> Any:
    """Find the event of a case: the data, or an event about it."""
    is_event = isinstance(data, dict) and ("event" in data or "object" in data)
    return data if is_event else _event("instant_payment.posted", data)


SURFACES: Final[dict[str, Callable[[Any], Awaitable[str]]]] = {
    "send": _send,
    "retrieve": _retrieve,
    "list": _list,
    "events": _events,
    "webhook": _webhook,
    "webhook, inbox": _webhook_with_inbox,
    "backfill": _backfill,
}


async def outcome(surface: str, case: Case) -> str:
    """Play a case at one surface.

    Raises:
        BrokenPromiseError: a promise is broken.
        Exception: leadpay raised something that is not its own.
    """
    # What was written is what a parser reads: numbers and texts survive the way.
    data = decode(json.dumps(case.data).encode())
    return await SURFACES[surface](data)


async def _main() -> None:
    logging.disable()
    listed = cases()
    table: dict[str, Counter[str]] = {}
    problems = 0
    for case in listed:
        for surface in SURFACES:
            try:
                found = await outcome(surface, case)
            except Exception as failure:  # noqa: BLE001 - any that is not ours is what is looked for
                problems += 1
                found = f"BROKEN {type(failure).__name__}"
                print(surface, case.sample, case.path, case.kind, repr(failure)[:200])  # noqa: T201
            table.setdefault(f"{case.kind:<13}{surface}", Counter())[found] += 1
    print(f"{len(listed)} mutations at {len(SURFACES)} places: {problems} broken promises\n")  # noqa: T201
    for name in sorted(table):
        print(f"{name:<30}", ", ".join(f"{found} {count}" for found, count in table[name].most_common()))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(_main())

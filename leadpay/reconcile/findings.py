"""What differs between the three lists, and its remedy."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, Literal, TypeAlias

import attrs

from leadpay.business_days import NEW_YORK, add_business_days
from leadpay.models import InstantPayment
from leadpay.reconcile.workspace import Workspace

FindingKind: TypeAlias = Literal[
    "unknown_to_bank",
    "in_doubt",
    "not_from_here",
    "event_missing",
    "event_not_handled",
    "differs",
    "return_without_original",
    "return_overdue",
    "used_twice",
    "sum_differs",
]
"""What is wrong."""

REMEDIES: Final[Mapping[FindingKind, str]] = {
    "unknown_to_bank": "ask the bank with the payment's ID; do not send it again",
    "in_doubt": "leadpay reconcile --repair, or leadpay outbox resolve",
    "not_from_here": "find out who sent it: rotate the client secret if no one did",
    "event_missing": "leadpay reconcile --repair",
    "event_not_handled": "correct the handler, then leadpay inbox replay",
    "differs": "leadpay payments show, and correct your books",
    "return_without_original": "ask the bank what it returns",
    "return_overdue": "ask the bank where the money is",
    "used_twice": "ask the bank which of the two was executed",
    "sum_differs": "correct the findings above, and reconcile again",
}
"""The remedy for each kind of finding."""

_ORDER: Final = tuple(REMEDIES)


@attrs.frozen(kw_only=True)
class Finding:
    """One difference, with its evidence."""

    kind: FindingKind
    payment_id: str | None = None
    event_id: str | None = None
    reference: str | None = None
    """Of the instruction in the outbox."""
    account_number_id: str | None = None
    amount: int | None = None
    """Cents."""
    evidence: str
    """What each side says: words, times and IDs."""

    @property
    def remedy(self) -> str:
        """The remedy."""
        return REMEDIES[self.kind]

    @property
    def sort_key(self) -> tuple[Any, ...]:
        """The order in a report, which does not depend on the order of lists."""
        ids = (self.payment_id or "", self.event_id or "", self.reference or "", self.account_number_id or "")
        return (_ORDER.index(self.kind), *ids, self.evidence)


@attrs.frozen(kw_only=True)
class Total:
    """What moved on one account number, by the bank's list: payments that have posted."""

    account_number_id: str
    incoming: int
    """How many payments came in."""
    incoming_cents: int
    outgoing: int
    outgoing_cents: int

    @property
    def net_cents(self) -> int:
        """The day's movement."""
        return self.incoming_cents - self.outgoing_cents


def totals(space: Workspace) -> list[Total]:
    """Add up what posted, by account number."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    posted = "SELECT account, direction, amount FROM known WHERE status = 'posted'"
    for account, direction, amount in space.stream(posted):
        by = found.setdefault(account, {})
        count, cents = by.get(direction, (0, 0))
        by[direction] = (count + 1, cents + int(amount))
    return [
        Total(
            account_number_id=account,
            incoming=by.get("incoming", (0, 0))[0],
            incoming_cents=by.get("incoming", (0, 0))[1],
            outgoing=by.get("outgoing", (0, 0))[0],
            outgoing_cents=by.get("outgoing", (0, 0))[1],
        )
        for account, by in sorted(found.items())
    ]


def compare_events(space: Workspace) -> Iterator[Finding]:
    """Compare the inbox with the bank."""
    for event, kind, payment, account in space.stream(
        "SELECT id, type, payment, account FROM told WHERE id NOT IN (SELECT id FROM events)"
        " AND id NOT IN (SELECT id FROM checked)"
    ):
        yield Finding(
            kind="event_missing",
            event_id=event,
            payment_id=payment,
            account_number_id=account,
            evidence=f"the bank lists {kind}, and the inbox does not have it",
        )
    for event, kind, payment, state, account in space.stream(
        "SELECT id, type, payment, state, account FROM events WHERE recent"
        " AND state IN ('unhandled', 'dead', 'unreadable')"
    ):
        yield Finding(
            kind="event_not_handled",
            event_id=event,
            payment_id=payment,
            account_number_id=account,
            evidence=f"{kind} is {state}",
        )
    # An amount never changes. A status is compared only in the same version of the payment.
    for payment, account, event, amount, event_amount, words, event_words in space.stream(
        "SELECT k.id, k.account, e.id, k.amount, e.amount, k.status || '/' || coalesce(k.counterparty, '-'),"
        " e.status || '/' || coalesce(e.counterparty, '-') FROM known AS k JOIN events AS e ON e.payment = k.id"
        " WHERE e.amount IS NOT NULL AND (e.amount <> k.amount OR (e.version = k.updated AND"
        " (e.status <> k.status OR e.counterparty IS NOT k.counterparty)))"
    ):
        yield Finding(
            kind="differs",
            payment_id=payment,
            event_id=event,
            account_number_id=account,
            amount=int(amount),
            evidence=f"bank: {amount} cents, {words}; inbox: {event_amount} cents, {event_words}",
        )


def compare_sums(space: Workspace) -> Iterator[Finding]:
    """Compare what posted by the bank's list with what posted by the newest event of each payment."""
    ours: dict[str, int] = {}
    for account, direction, amount in space.stream(
        "SELECT account, direction, amount FROM events AS e WHERE status = 'posted' AND inside AND amount IS NOT NULL"
        " AND id = (SELECT id FROM events AS o WHERE o.payment = e.payment ORDER BY version DESC, id LIMIT 1)"
    ):
        ours[account] = ours.get(account, 0) + (int(amount) if direction == "incoming" else -int(amount))
    theirs = {total.account_number_id: total.net_cents for total in totals(space)}
    for account in sorted({*ours, *theirs}):
        mine, bank = ours.get(account, 0), theirs.get(account, 0)
        if mine != bank:
            yield Finding(
                kind="sum_differs",
                account_number_id=account,
                amount=mine - bank,
                evidence=f"bank: {bank} cents; by the events received: {mine} cents",
            )


def compare_outbox(space: Workspace, fits: Mapping[str, str]) -> Iterator[Finding]:
    """Compare the outbox with the bank; ``fits`` has the payments that belong to instructions in doubt."""
    for reference, account, amount, state in space.stream(
        "SELECT reference, account, amount, state FROM sent WHERE state = 'in_doubt'"
    ):
        yield Finding(
            kind="in_doubt",
            reference=reference,
            payment_id=fits.get(reference),
            account_number_id=account,
            amount=None if amount is None else int(amount),
            evidence=f"the instruction is {state}: "
            + ("one payment at the bank fits" if reference in fits else "it may or may not have happened"),
        )
    for payment, account, amount in space.stream(
        "SELECT id, account, amount FROM known WHERE direction = 'outgoing'"
        " AND id NOT IN (SELECT payment FROM sent WHERE payment IS NOT NULL) AND id NOT IN (SELECT id FROM checked)"
    ):
        yield Finding(
            kind="not_from_here",
            payment_id=payment,
            account_number_id=account,
            amount=int(amount),
            evidence="the bank sent it, and the outbox does not have it",
        )
    yield from _compare_instructions(space)
    yield from _used_twice(space)


def _compare_instructions(space: Workspace) -> Iterator[Finding]:
    for row in space.stream(
        "SELECT s.reference, k.id, k.account, s.account, k.amount, s.amount, k.status, k.counterparty, s.outcome,"
        " s.status, s.counterparty, s.updated = k.updated FROM sent AS s JOIN known AS k ON s.payment = k.id"
        " WHERE s.operation IN ('send', 'return')"
    ):
        reference, payment, account, own_account, amount, own_amount, status, other_side, outcome, *seen = row
        bank = _outcome(status, other_side)
        problems = []
        if own_amount is not None and own_amount != amount:
            problems.append(f"bank: {amount} cents; outbox: {own_amount} cents")
        if own_account is not None and own_account != account:
            problems.append(f"bank: {account}; outbox: {own_account}")
        if outcome not in ("returned", bank):
            problems.append(f"bank: {bank or 'open'}; outbox: {outcome or 'open'}")
        elif seen[2] and seen[:2] != [status, other_side]:
            problems.append(f"bank: {status}/{other_side or '-'}; outbox: {seen[0]}/{seen[1] or '-'}")
        if problems:
            yield Finding(
                kind="differs",
                reference=reference,
                payment_id=payment,
                account_number_id=account,
                amount=int(amount),
                evidence="; ".join(problems),
            )


def _outcome(status: str, counterparty: str | None) -> str | None:
    """Give an outgoing payment's outcome, as the outbox names it; a word that we don't know is not the end."""
    if status in ("rejected", "canceled"):
        return status
    return {"posted": "arrived", "rejected": "rejected"}.get(counterparty or "") if status == "posted" else None


def _used_twice(space: Workspace) -> Iterator[Finding]:
    for what, column in (("payment", "payment"), ("idempotency key", "key")):
        for references, payment in space.stream(
            f"SELECT group_concat(reference, ' and '), max(payment) FROM"  # noqa: S608 - our own columns
            f" (SELECT * FROM sent WHERE operation IN ('send', 'return') ORDER BY number)"
            f" WHERE {column} IS NOT NULL GROUP BY {column} HAVING count(*) > 1"
        ):
            yield Finding(
                kind="used_twice",
                payment_id=payment,
                reference=references,
                evidence=f"one {what}, several instructions",
            )


def overdue(payment: InstantPayment, end: datetime, days: int) -> Finding | None:
    """Tell whether the money of a payment that was rejected after it posted should have come back by now.

    Args:
        payment: the payment; it last changed when it was rejected.
        end: the end of the report's time.
        days: how many business days it may take.
    """
    since = payment.updated_at
    due = add_business_days(_day(since), days)
    if due >= _day(end):
        return None
    return Finding(
        kind="return_overdue",
        payment_id=payment.id,
        account_number_id=payment.account_number_id,
        amount=payment.amount,
        evidence=f"rejected by the counterparty on {_day(since)}; its return was due by {due}",
    )


def _day(time: datetime) -> date:
    return time.astimezone(NEW_YORK).date()


def in_order(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Put findings into an order that is the same every time."""
    return tuple(sorted(found, key=lambda finding: finding.sort_key))

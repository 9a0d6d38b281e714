"""All statements of an outbox, for SQLite and for PostgreSQL. Pure: each operation is a plan, driven by others.

Times in the tables are microseconds since 1970. What differs between the two databases is in ``_SPELLINGS``; casts
(``::text``) are PostgreSQL's, and are left out for SQLite.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import attrs

from leadpay.converter import decode, encode, structure
from leadpay.errors import InstructionStateError, OutboxError, ReferenceReusedError
from leadpay.models import InstantPayment
from leadpay.outbox.content import Digests, NewInstruction, changed_fields
from leadpay.outbox.limits import Guards, Limits, day_of
from leadpay.outbox.store import Instruction, LogEntry, OutboxStats, Plan, Statement, T
from leadpay.storage import Dialect

CHANNEL: Final = "leadpay_outbox"
"""Where changes are announced: the instruction's number, or ``work`` where there is something to send."""

WORK: Final = "work"
"""The announcement that there is something to send."""

MICRO: Final = 1_000_000

_SPELLINGS: Final[Mapping[Dialect, Mapping[str, str]]] = {
    "sqlite": {
        "now": ":now",
        "skip_locked": "",
        "each": "json_each(:rows) AS one",
        "greatest": "max",
        "announce": "",
        "announce_work": "",
        "lock": "",
    },
    "postgres": {
        "now": "coalesce(:now::bigint, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint)",
        "skip_locked": "FOR UPDATE SKIP LOCKED",
        "each": "json_array_elements_text(:rows::text::json) AS one",
        "greatest": "greatest",
        "announce": f"RETURNING pg_notify('{CHANNEL}', instruction::text)",
        "announce_work": f"RETURNING pg_notify('{CHANNEL}', instruction::text), pg_notify('{CHANNEL}', '{WORK}')",
        "lock": "FOR UPDATE",
    },
}

_CAST: Final = re.compile(r"::\w+")


@cache
def spelled(sql: str, dialect: Dialect) -> str:
    """Write a statement for one kind of database."""
    text = sql
    for name, spelling in _SPELLINGS[dialect].items():
        text = text.replace(f"{{{name}}}", spelling)
    return _CAST.sub("", text) if dialect == "sqlite" else text


COLUMNS: Final = """
    number, reference, operation, state, outcome, account_number_id, amount, target_payment_id, payment_id,
    return_payment_id, payment, content, key, priority, attempts, reason, evidence, needs_person, created_at,
    updated_at, first_attempt_at, due_at"""

# Queuing.

_ADD: Final = f"""
INSERT INTO leadpay_instructions (reference, operation, state, account_number_id, amount, target_payment_id, content,
    digest, fingerprint, creditor, key, priority, created_at, updated_at, due_at)
VALUES (:reference::text, :operation::text, 'queued', :account_number_id::text, :amount::bigint,
    :target_payment_id::text, :content::bytea, :digest::text, :fingerprint::text, :creditor::text, :key::text,
    :priority::bigint, {{now}}, {{now}}, 0)
ON CONFLICT (reference) DO NOTHING RETURNING {COLUMNS}"""  # noqa: S608 - our own columns

_BY_REFERENCE: Final = f"SELECT {COLUMNS}, digest FROM leadpay_instructions WHERE reference = :reference::text"  # noqa: S608 - the same

_LOG: Final = """
INSERT INTO leadpay_instruction_log (instruction, at, action, actor, detail)
VALUES (:instruction::bigint, {now}, :action::text, :actor::text, :detail::text) {announce}"""

_LOG_WORK: Final = _LOG.replace("{announce}", "{announce_work}")

_HOLD: Final = """
UPDATE leadpay_instructions SET state = 'held', due_at = NULL, reason = :reason::text, two_people = :two_people::bigint
WHERE number = :number::bigint"""

_COUNT: Final = "UPDATE leadpay_instructions SET counted_on = :day::bigint WHERE number = :number::bigint"

# Locks the guard until the caller's transaction ends: a second instruction that it is about waits, and then sees.
_TOUCH: Final = """
INSERT INTO leadpay_outbox_guards AS old (guard, day, total) VALUES (:guard::text, :day::bigint, 0)
ON CONFLICT (guard) DO UPDATE SET day = excluded.day RETURNING total"""

_ADD_TO_GUARD: Final = """
UPDATE leadpay_outbox_guards SET total = total + :amount::bigint WHERE guard = :guard::text"""

_DUPLICATE: Final = """
SELECT reference FROM leadpay_instructions WHERE fingerprint = :fingerprint::text AND created_at > :since::bigint
    AND number <> :number::bigint AND state NOT IN ('withdrawn', 'refused') ORDER BY created_at DESC LIMIT 1"""

# By hand.

_LOCKED: Final = f"""
SELECT {COLUMNS}, {{now}}, counted_on, creditor, leased, two_people FROM leadpay_instructions
WHERE reference = :reference::text {{lock}}"""  # noqa: S608 - our own columns

_PEOPLE: Final = """
SELECT actor FROM leadpay_instruction_log WHERE instruction = :number::bigint AND actor IS NOT NULL
    AND action IN ('queued', 'held', :first_approval::text) ORDER BY number LIMIT 1"""

_APPROVE: Final = """
UPDATE leadpay_instructions SET state = 'queued', due_at = 0, reason = NULL, counted_on = :day::bigint,
    updated_at = {now} WHERE number = :number::bigint AND state = 'held' RETURNING number"""

_WITHDRAW: Final = """
UPDATE leadpay_instructions SET state = 'withdrawn', outcome = 'withdrawn', due_at = NULL, counted_on = NULL,
    reason = :reason::text, updated_at = {now}
WHERE number = :number::bigint AND state IN ('held', 'queued') AND leased = 0 AND first_attempt_at IS NULL
RETURNING number"""

_RESOLVE_NOTHING: Final = """
UPDATE leadpay_instructions SET state = 'refused', outcome = 'refused', due_at = NULL, counted_on = NULL,
    needs_person = 0, reason = :reason::text, fencing_token = fencing_token + 1, updated_at = {now}
WHERE number = :number::bigint"""

_RESOLVE: Final = """
UPDATE leadpay_instructions SET state = 'accepted', payment_id = :payment_id::text, due_at = 0, needs_person = 0,
    reason = NULL, fencing_token = fencing_token + 1, updated_at = {now}
WHERE number = :number::bigint"""

_CLAIMANTS: Final = """
SELECT reference FROM leadpay_instructions WHERE payment_id = :payment_id::text AND number <> :number::bigint
    AND operation IN ('send', 'return')"""

# Reading.

_LOG_OF: Final = """
SELECT at, action, actor, detail FROM leadpay_instruction_log WHERE instruction = :number::bigint ORDER BY number"""

_PROBE: Final = "UPDATE leadpay_outbox_bank SET paused_until = paused_until WHERE 1 = 0"

_BY_STATE: Final = "SELECT state, count(*) FROM leadpay_instructions GROUP BY state"
_BY_OUTCOME: Final = "SELECT outcome, count(*) FROM leadpay_instructions WHERE outcome IS NOT NULL GROUP BY outcome"
_FOR_PERSON: Final = "SELECT count(*) FROM leadpay_instructions WHERE state = 'in_doubt' AND needs_person = 1"
_OLDEST: Final = "SELECT created_at FROM leadpay_instructions WHERE state = 'queued' ORDER BY number LIMIT 1"
BANK: Final = "SELECT failures, paused_until, retry_after_until, {now} FROM leadpay_outbox_bank"
_NAMESPACE: Final = "SELECT namespace FROM leadpay_outbox_bank"

_PURGE: Final = """
UPDATE leadpay_instructions SET content = NULL, payment = NULL, fingerprint = NULL, creditor = NULL WHERE number IN (
    SELECT number FROM leadpay_instructions WHERE content IS NOT NULL AND outcome IS NOT NULL
    AND updated_at < :before::bigint ORDER BY updated_at LIMIT :limit::bigint) RETURNING number"""

_PURGE_GUARDS: Final = "DELETE FROM leadpay_outbox_guards WHERE day < :day::bigint"


def micro(time: datetime) -> int:
    """Convert a time to microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def from_micro(number: int) -> datetime:
    """Convert microseconds since 1970 to a time."""
    return _EPOCH + number * _MICROSECOND


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def log(number: int, action: str, *, now: int | None, by: str | None = None, detail: str | None = None) -> Statement:
    """Write the statement that adds a line to the audit trail, and announces that the instruction changed."""
    sql = _LOG_WORK if action in {"queued", "approved"} else _LOG
    return Statement(sql, {"instruction": number, "action": action, "actor": by, "detail": detail, "now": now})


def in_one(plans: Sequence[Callable[[], Plan[T]]]) -> Plan[list[T]]:
    """Do several operations in one transaction."""
    results = []
    for plan in plans:
        results.append((yield from plan()))  # noqa: PERF401 - a comprehension cannot yield
    return results


def differences(many: Sequence[NewInstruction], *, digests: Digests) -> Plan[dict[str, Sequence[str]]]:
    """Say which references are known with other content, and the fields that differ; nothing is changed."""
    found: dict[str, Sequence[str]] = {}
    for new in many:
        try:
            if (yield Statement(_BY_REFERENCE, {"reference": new.reference})):
                yield from _known(new, digests.content(new))
        except ReferenceReusedError as error:
            found[new.reference] = error.fields
    return found


def namespace() -> Plan[str]:
    """Read what the keys of this outbox are made from."""
    ((found,),) = yield Statement(_NAMESPACE, {})
    return str(found)


def add(new: NewInstruction, *, digests: Digests, guards: Guards, by: str | None, now: int | None) -> Plan[Instruction]:
    """Queue an instruction, or find the one that has its reference.

    Raises:
        ReferenceReusedError: the reference is known with other content.
        OutboxError: another transaction queues the same reference, and this one can't see it.
    """
    creditor, fingerprint = digests.of_new(new)
    digest = digests.content(new)
    found = yield Statement(
        _ADD,
        {
            "reference": new.reference,
            "operation": new.operation,
            "account_number_id": new.account_number_id,
            "amount": new.amount,
            "target_payment_id": new.target_payment_id,
            "content": encode(new.content),
            "digest": digest,
            "fingerprint": fingerprint,
            "creditor": creditor,
            "key": digests.key(new.reference),
            "priority": new.priority,
            "now": now,
        },
    )
    if not found:
        return (yield from _known(new, digest))
    instruction = instruction_of(found[0])
    reason = yield from _check_guards(instruction, fingerprint, creditor, guards, instruction.created_at)
    if reason is None:
        yield log(instruction.number, "queued", by=by, now=now)
        return instruction
    yield Statement(_HOLD, {"number": instruction.number, "reason": reason, "two_people": int(guards.two_people)})
    yield log(instruction.number, "held", by=by, detail=reason, now=now)
    return attrs.evolve(instruction, state="held", reason=reason, next_at=None)


def _known(new: NewInstruction, digest: str) -> Plan[Instruction]:
    found = yield Statement(_BY_REFERENCE, {"reference": new.reference})
    if not found:
        raise OutboxError(f"reference {new.reference!r} is being queued by another transaction: try again")
    *columns, known_digest = found[0]
    known = instruction_of(columns)
    if known_digest != digest or known.operation != new.operation:
        fields = changed_fields(new, known.operation, known.target_payment_id, known.content)
        raise ReferenceReusedError(new.reference, fields or ["content"])
    return known


def _check_guards(
    instruction: Instruction, fingerprint: str | None, creditor: str | None, guards: Guards, now: datetime
) -> Plan[str | None]:
    """Say why an instruction must be held, or count it against its limits."""
    if instruction.account_number_id is None or instruction.amount is None:
        return None
    amount, day = instruction.amount, day_of(now)
    limits = guards.limits_of(instruction.account_number_id)
    if limits.per_payment is not None and amount > limits.per_payment:
        return f"above the limit of {limits.per_payment} cents for one payment"
    for guard, limit, words in (
        (day_guard(instruction.account_number_id, day), limits.per_day, "a day"),
        (creditor_guard(instruction.account_number_id, day, creditor), limits.per_creditor_per_day, "a creditor a day"),
    ):
        if limit is not None:
            ((total,),) = yield Statement(_TOUCH, {"guard": guard, "day": day})
            if total + amount > limit:
                return f"above the limit of {limit} cents for {words}"
    if guards.suspect_duplicates is not None:
        yield Statement(_TOUCH, {"guard": f"payment {fingerprint}", "day": day})
        since = micro(now - guards.suspect_duplicates)
        found = yield Statement(_DUPLICATE, {"fingerprint": fingerprint, "since": since, "number": instruction.number})
        if found:
            return f"looks like a duplicate of {found[0][0]}"
    yield from count(instruction, creditor, limits, day)
    return None


def count(instruction: Instruction, creditor: str | None, limits: Limits, day: int) -> Plan[None]:
    """Count an instruction against the limits of a day, where there are some."""
    if limits.per_day is None and limits.per_creditor_per_day is None:
        return
    for guard in _guards_of(instruction, creditor, day):
        yield Statement(_TOUCH, {"guard": guard, "day": day})
        yield Statement(_ADD_TO_GUARD, {"guard": guard, "amount": instruction.amount})
    yield Statement(_COUNT, {"number": instruction.number, "day": day})


def count_no_more(instruction: Instruction, creditor: str | None, day: int | None) -> Plan[None]:
    """Take what was refused or withdrawn off the day on which it counted."""
    if day is not None and instruction.amount is not None:
        for guard in _guards_of(instruction, creditor, day):
            yield Statement(_ADD_TO_GUARD, {"guard": guard, "amount": -instruction.amount})


def _guards_of(instruction: Instruction, creditor: str | None, day: int) -> tuple[str, str]:
    account = instruction.account_number_id or ""
    return day_guard(account, day), creditor_guard(account, day, creditor)


def day_guard(account_number_id: str, day: int) -> str:
    """Name the guard of an account number's day."""
    return f"day {day} {account_number_id}"


def creditor_guard(account_number_id: str, day: int, creditor: str | None) -> str:
    """Name the guard of a creditor's day."""
    return f"creditor {day} {account_number_id} {creditor}"


# By hand.


def approve(reference: str, *, guards: Guards, by: str, reason: str | None, now: int | None) -> Plan[Instruction]:
    """Let a held instruction be sent.

    Raises:
        InstructionStateError: it isn't held, or another person must approve it.
    """
    instruction, present, _, creditor, _, two_people = yield from _locked(reference, now)
    if instruction.state != "held":
        raise InstructionStateError(f"is {instruction.state}, and not held", reference=reference)
    if guards.two_people or two_people:
        first = yield from _first_person(instruction)
        if first is None:
            yield log(instruction.number, FIRST_APPROVAL, by=by, detail=reason, now=now)
            return (yield from _again(reference))
        if _same_person(first, by):
            raise InstructionStateError(f"must be approved by another person than {first}", reference=reference)
    day = day_of(from_micro(present))
    yield Statement(_APPROVE, {"number": instruction.number, "day": None, "now": now})
    if instruction.account_number_id is not None:
        yield from count(instruction, creditor, guards.limits_of(instruction.account_number_id), day)
    yield log(instruction.number, "approved", by=by, detail=reason, now=now)
    return (yield from _again(reference))


FIRST_APPROVAL: Final = "first_approval"
"""The action in the audit trail of the first of two people, where it is not known who queued the instruction."""


def _first_person(instruction: Instruction) -> Plan[str | None]:
    found = yield Statement(_PEOPLE, {"number": instruction.number, "first_approval": FIRST_APPROVAL})
    return found[0][0] if found else None


def _same_person(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def withdraw(reference: str, *, by: str, reason: str | None, now: int | None) -> Plan[Instruction]:
    """Take an instruction back before it leaves; one that is withdrawn already stays as it is.

    Raises:
        InstructionStateError: an attempt to send it has begun.
    """
    instruction, _, day, creditor, _, _ = yield from _locked(reference, now)
    if instruction.state == "withdrawn":
        return instruction
    given = {"number": instruction.number, "reason": reason or f"withdrawn by {by}", "now": now}
    if not (yield Statement(_WITHDRAW, given)):
        raise InstructionStateError(f"is {instruction.state}: it may have left", reference=reference)
    yield from count_no_more(instruction, creditor, day)
    yield log(instruction.number, "withdrawn", by=by, detail=reason, now=now)
    return (yield from _again(reference))


def resolve(
    reference: str, *, by: str, payment_id: str | None, reason: str | None, now: int | None
) -> Plan[Instruction]:
    """Resolve what is in doubt: it became this payment, or without one, nothing happened.

    Raises:
        InstructionStateError: it is not in doubt, a sender still works on it, or the payment belongs to another.
    """
    instruction, _, day, creditor, leased, _ = yield from _locked(reference, now)
    if instruction.state != "in_doubt" or leased:
        raise InstructionStateError(f"is {instruction.state}, and a sender may be at work on it", reference=reference)
    if payment_id is None:
        if not instruction.needs_person:
            raise InstructionStateError(
                "is still asked again with its key: wait until that is over", reference=reference
            )
        yield Statement(
            _RESOLVE_NOTHING, {"number": instruction.number, "reason": reason or f"resolved by {by}", "now": now}
        )
        yield from count_no_more(instruction, creditor, day)
        yield log(
            instruction.number, "resolved", by=by, detail=f"nothing happened: {reason or ''}".rstrip(": "), now=now
        )
        return (yield from _again(reference))
    for (other,) in (yield Statement(_CLAIMANTS, {"payment_id": payment_id, "number": instruction.number})):
        if instruction.operation in {"send", "return"}:
            raise InstructionStateError(f"the payment belongs to {other}", reference=reference)
    yield Statement(_RESOLVE, {"number": instruction.number, "payment_id": payment_id, "now": now})
    yield log(instruction.number, "resolved", by=by, detail=f"is {payment_id} {reason or ''}".rstrip(), now=now)
    return (yield from _again(reference))


def _locked(reference: str, now: int | None) -> Plan[tuple[Instruction, int, int | None, str | None, int, int]]:
    """Read an instruction and lock its row; gives also the time, its day, creditor and lease, and two_people.

    Raises:
        InstructionStateError: there is none.
    """
    found = yield Statement(_LOCKED, {"reference": reference, "now": now})
    if not found:
        raise InstructionStateError("is not in the outbox", reference=reference)
    *columns, present, day, creditor, leased, two_people = found[0]
    return instruction_of(columns), int(present), day, creditor, leased, two_people


def _again(reference: str) -> Plan[Instruction]:
    found = yield Statement(_BY_REFERENCE, {"reference": reference})
    return instruction_of(found[0][:-1])


# Reading.


def get(reference: str) -> Plan[Instruction | None]:
    """Look one instruction up."""
    found = yield Statement(_BY_REFERENCE, {"reference": reference})
    return instruction_of(found[0][:-1]) if found else None


def history(reference: str) -> Plan[list[LogEntry]]:
    """Read the audit trail of an instruction, oldest first."""
    found = yield Statement(_BY_REFERENCE, {"reference": reference})
    rows = (yield Statement(_LOG_OF, {"number": found[0][0]})) if found else ()
    return [LogEntry(at=from_micro(at), action=action, by=by, detail=detail) for at, action, by, detail in rows]


def page(*, wanted: Mapping[str, Any], before: int, limit: int, oldest_first: bool) -> Plan[list[Instruction]]:
    """Read the newest instructions before a number, or the oldest after it; ``wanted`` maps columns to values."""
    given = {column: value for column, value in wanted.items() if value is not None}
    conditions = " AND ".join(
        [f"number {'>' if oldest_first else '<'} :before::bigint", *(_FILTERS[name] for name in given)]
    )
    order = "number" if oldest_first else "number DESC"
    sql = f"SELECT {COLUMNS} FROM leadpay_instructions WHERE {conditions} ORDER BY {order} LIMIT :limit::bigint"  # noqa: S608 - our own columns
    return [instruction_of(row) for row in (yield Statement(sql, {**given, "before": before, "limit": limit}))]


_FILTERS: Final[Mapping[str, str]] = {
    "reference": "reference = :reference::text",
    "state": "state = :state::text",
    "outcome": "outcome = :outcome::text",
    "payment_id": "payment_id = :payment_id::text",
    "target_payment_id": "target_payment_id = :target_payment_id::text",
    "account_number_id": "account_number_id = :account_number_id::text",
    "operation": "operation = :operation::text",
    "amount": "amount = :amount::bigint",
    "needs_person": "needs_person = :needs_person::bigint",
    "created_from": "created_at >= :created_from::bigint",
    "created_before": "created_at < :created_before::bigint",
}


def probe() -> Plan[None]:
    """Write nothing, where only a database that can write allows it."""
    yield Statement(_PROBE, {})


def stats(*, now: int | None) -> Plan[OutboxStats]:
    """Count."""
    by_state = yield Statement(_BY_STATE, {})
    by_outcome = yield Statement(_BY_OUTCOME, {})
    ((needs_person,),) = yield Statement(_FOR_PERSON, {})
    oldest = yield Statement(_OLDEST, {})
    ((_, paused_until, retry_after_until, present),) = yield Statement(BANK, {"now": now})
    until = max(paused_until, retry_after_until)
    return OutboxStats(
        by_state=dict(by_state),
        by_outcome=dict(by_outcome),
        needs_person=needs_person,
        oldest_queued=from_micro(oldest[0][0]) if oldest else None,
        paused_until=from_micro(until) if until > present else None,
    )


def purge(*, before: datetime, limit: int, now: datetime) -> Plan[int]:
    """Delete what was sent, and payments as last seen, of one page of instructions that ended long ago."""
    yield Statement(_PURGE_GUARDS, {"day": day_of(now) - _KEPT_DAYS})
    return len((yield Statement(_PURGE, {"before": micro(before), "limit": limit})))


_KEPT_DAYS: Final = 400
"""How long the totals of days are kept, in days: longer than any time for suspected duplicates that makes sense."""


def instruction_of(row: Sequence[Any]) -> Instruction:
    """Make a record of the columns of a row."""
    (number, reference, operation, state, outcome, account_number_id, amount, target_payment_id, payment_id,
     return_payment_id, payment, content, key, priority, attempts, reason, evidence, needs_person, created_at,
     updated_at, first_attempt_at, due_at) = row  # fmt: skip
    return Instruction(
        number=number,
        reference=reference,
        operation=operation,
        state=state,
        outcome=outcome,
        account_number_id=account_number_id,
        amount=amount,
        target_payment_id=target_payment_id,
        payment_id=payment_id,
        return_payment_id=return_payment_id,
        payment=None if payment is None else structure(decode(payment), InstantPayment),
        content=None if content is None else decode(content),
        idempotency_key=key,
        priority=priority,
        attempts=attempts,
        reason=reason,
        evidence=None if evidence is None else json.loads(evidence),
        needs_person=bool(needs_person),
        created_at=from_micro(created_at),
        updated_at=from_micro(updated_at),
        first_attempt_at=None if first_attempt_at is None else from_micro(first_attempt_at),
        next_at=None if due_at is None else from_micro(due_at),
    )

"""The statements of senders and of tracking: claims, results, the shared pause, payments as seen. Pure."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from leadpay.converter import encode, unstructure
from leadpay.models import InstantPayment
from leadpay.outbox.attempts import BACKOFF, MAX_RETRY_AFTER, RESPONDED, Result, nth
from leadpay.outbox.progress import has_our_description, next_poll, outcome_of, words
from leadpay.outbox.queries import (
    BANK,
    COLUMNS,
    MICRO,
    count_no_more,
    instruction_of,
    log,
    micro,
)
from leadpay.outbox.store import Claim, Instruction, Plan, Statement, is_final

PROBE_SECONDS: Final = 30.0
"""How long the one attempt after a pause may take before another sender makes one, in seconds."""

_BANK_LOCKED: Final = f"{BANK} {{lock}}"

_PROBE: Final = "UPDATE leadpay_outbox_bank SET paused_until = {now} + :probe::bigint"

_MAY_RESEND: Final = "may_resend = 1 AND {now} - first_attempt_at < :lifetime::bigint"

# That an attempt with this key begins is on disk before its request leaves. A lease that ended without a result leaves
# the instruction in doubt: it is asked again with the same key.
_CLAIM: Final = f"""
WITH due AS MATERIALIZED (
    SELECT number FROM leadpay_instructions
    WHERE state IN ('queued', 'sending', 'in_doubt') AND due_at <= {{now}}
    ORDER BY priority DESC, number LIMIT :limit::bigint {{skip_locked}}
)
UPDATE leadpay_instructions SET
    leased = 1, fencing_token = fencing_token + 1, due_at = {{now}} + :lease::bigint, updated_at = {{now}},
    task = CASE WHEN first_attempt_at IS NULL THEN 'send' WHEN {_MAY_RESEND} THEN 'resend' ELSE 'evidence' END,
    attempts = attempts + CASE WHEN first_attempt_at IS NULL OR {_MAY_RESEND} THEN 1 ELSE 0 END,
    state = CASE WHEN first_attempt_at IS NULL THEN 'sending' ELSE 'in_doubt' END,
    first_attempt_at = coalesce(first_attempt_at, {{now}})
WHERE number IN (SELECT number FROM due) RETURNING {COLUMNS}, task, fencing_token"""  # noqa: S608 - our own columns

_CLAIM_POLLS: Final = f"""
WITH due AS MATERIALIZED (
    SELECT number FROM leadpay_instructions WHERE state = 'accepted' AND due_at <= {{now}}
    ORDER BY due_at LIMIT :limit::bigint {{skip_locked}}
)
UPDATE leadpay_instructions SET leased = 1, fencing_token = fencing_token + 1, due_at = {{now}} + :lease::bigint,
    task = 'poll'
WHERE number IN (SELECT number FROM due) RETURNING {COLUMNS}, task, fencing_token"""  # noqa: S608 - our own columns

_LOG_ATTEMPTS: Final = """
INSERT INTO leadpay_instruction_log (instruction, at, action, detail)
SELECT number, {now}, 'attempt', 'attempt ' || attempts::text FROM leadpay_instructions
WHERE number IN (SELECT one.value::bigint FROM {each})"""

_PROLONG: Final = """
UPDATE leadpay_instructions SET due_at = {now} + :lease::bigint
WHERE number = :number::bigint AND fencing_token = :fencing_token::bigint AND leased = 1 RETURNING number"""

# Only the current fencing token may write. What an event has resolved meanwhile is changed only by a definite response.
_FINISH: Final = """
UPDATE leadpay_instructions SET leased = 0, state = :state::text, due_at = {now} + :pause::bigint,
    first_attempt_at = CASE WHEN :clear::bigint = 1 THEN NULL ELSE first_attempt_at END,
    may_resend = may_resend * :may_resend::bigint, needs_person = :needs_person::bigint, evidence = :evidence::text,
    reason = :reason::text, outcome = :outcome::text, updated_at = {now}
WHERE number = :number::bigint AND fencing_token = :fencing_token::bigint AND leased = 1
    AND (state IN ('sending', 'in_doubt') OR state = 'accepted' AND :is_definite::bigint = 1)
RETURNING counted_on, creditor"""

_ACCEPT: Final = """
UPDATE leadpay_instructions SET leased = 0, state = 'accepted', payment_id = :payment_id::text, reason = NULL,
    needs_person = 0, updated_at = {now}, due_at = {now} + :pause::bigint,
    payment = :payment::bytea, payment_version = :version::bigint, outcome = :outcome::text, evidence = :evidence::text
WHERE number = :number::bigint AND fencing_token = :fencing_token::bigint AND leased = 1
    AND (payment_id IS NULL OR payment_id <> :payment_id::text OR coalesce(payment_version, 0) < :version::bigint)
RETURNING number"""

# An event has brought the same payment, or a newer version of it.
_ACCEPT_KNOWN: Final = """
UPDATE leadpay_instructions SET leased = 0, state = 'accepted', reason = NULL,
    due_at = CASE WHEN outcome IN ('arrived', 'returned', 'canceled') THEN NULL ELSE {now} + :poll::bigint END
WHERE number = :number::bigint AND fencing_token = :fencing_token::bigint AND leased = 1 RETURNING number"""

_OWNERS: Final = """
SELECT number, reference FROM leadpay_instructions WHERE payment_id = :payment_id::text AND number <> :number::bigint
    AND operation IN ('send', 'return') AND state = 'accepted' ORDER BY number LIMIT 1"""

_DISOWN: Final = """
UPDATE leadpay_instructions SET state = 'in_doubt', payment_id = NULL, payment = NULL, payment_version = NULL,
    outcome = NULL, return_payment_id = NULL, due_at = {now}, leased = 0, fencing_token = fencing_token + 1,
    updated_at = {now}
WHERE number = :number::bigint"""

_FAILED: Final = """
UPDATE leadpay_outbox_bank SET failures = :failures::bigint + 1, paused_until = {now} + :pause::bigint
WHERE failures = :failures::bigint RETURNING one"""

_RESPONDED: Final = """
UPDATE leadpay_outbox_bank SET failures = 0, paused_until = 0 WHERE failures = :failures::bigint RETURNING one"""

_RETRY_AFTER: Final = """
UPDATE leadpay_outbox_bank SET retry_after_until = {greatest}(retry_after_until, {now} + :pause::bigint)"""

# After an outage what waits for its own pause is asked again at once, so that the order of the queue is kept.
_ALL_DUE: Final = """
UPDATE leadpay_instructions SET due_at = 0
WHERE state IN ('queued', 'sending', 'in_doubt') AND due_at > {now} AND leased = 0 AND needs_person = 0"""

OUTAGE: Final = 3
"""After how many failures in a row the bank was away, and not only one instruction unlucky."""

_POLLED: Final = """
UPDATE leadpay_instructions SET leased = 0, polls = polls + 1, due_at = {now} + :pause::bigint
WHERE number = :number::bigint AND fencing_token = :fencing_token::bigint AND leased = 1 RETURNING number"""

_POLLS: Final = "SELECT polls FROM leadpay_instructions WHERE number = :number::bigint"

_SEEN: Final = """
UPDATE leadpay_instructions SET state = 'accepted', payment_id = :payment_id::text, payment = :payment::bytea,
    payment_version = :version::bigint, outcome = :outcome::text, updated_at = {now}, reason = NULL, needs_person = 0,
    return_payment_id = coalesce(:return_payment_id::text, return_payment_id),
    due_at = CASE WHEN :is_final::bigint = 1 AND leased = 0 THEN NULL ELSE due_at END
WHERE number = :number::bigint"""

_OF_PAYMENT: Final = f"""
SELECT {COLUMNS}, payment_version FROM leadpay_instructions
WHERE payment_id = :payment_id::text AND state = 'accepted' ORDER BY number {{lock}}"""  # noqa: S608 - our own columns

_BEGUN: Final = f"""
SELECT {COLUMNS}, payment_version FROM leadpay_instructions WHERE fingerprint = :fingerprint::text
    AND state IN ('sending', 'in_doubt') AND operation = 'send' ORDER BY number {{lock}}"""  # noqa: S608 - our own columns

_BEGUN_RETURNS: Final = f"""
SELECT {COLUMNS}, payment_version FROM leadpay_instructions WHERE target_payment_id = :target::text
    AND state IN ('sending', 'in_doubt') AND operation = 'return' ORDER BY number {{lock}}"""  # noqa: S608 - our own columns

_CLAIMED: Final = """
SELECT payment_id FROM leadpay_instructions WHERE payment_id IN (SELECT one.value::text FROM {each})
    AND operation IN ('send', 'return') AND number <> :number::bigint"""

_RIVALS: Final = """
SELECT count(*) FROM leadpay_instructions WHERE number <> :number::bigint AND state IN ('sending', 'in_doubt')
    AND (fingerprint = (SELECT fingerprint FROM leadpay_instructions WHERE number = :number::bigint)
        OR operation = 'return' AND target_payment_id = :target::text)"""


def claim(*, limit: int, polls: int, lease: float, lifetime: float, now: int | None) -> Plan[tuple[list[Claim], float]]:
    """Lease what is due, and write down that attempts begin; also say for how long all senders pause, in seconds."""
    failures, pause = yield from _bank_state(BANK, now)
    if failures and not pause:
        # After a pause one attempt shows whether the bank is back; another sender waits here, and finds a new pause.
        failures, pause = yield from _bank_state(_BANK_LOCKED, now)
    if pause:
        return [], pause
    if failures:
        limit, polls = 1, 1
    given = {"lease": _micro(lease), "lifetime": _micro(lifetime), "now": now}
    rows = list((yield Statement(_CLAIM, {**given, "limit": limit})) if limit else ())
    begun = [row[0] for row in rows if row[-2] != "evidence"]
    if begun:
        yield Statement(_LOG_ATTEMPTS, {"rows": json.dumps(begun), "now": now})
    if polls and not (failures and rows):
        rows += yield Statement(_CLAIM_POLLS, {**given, "limit": polls})
    if failures and rows:
        yield Statement(_PROBE, {"probe": _micro(PROBE_SECONDS), "now": now})
    claims = [
        Claim(instruction=instruction_of(columns), task=task, fencing_token=token, failures=failures)
        for *columns, task, token in rows
    ]
    return sorted(claims, key=lambda one: (-one.instruction.priority, one.instruction.number)), 0.0


def _bank_state(sql: str, now: int | None) -> Plan[tuple[int, float]]:
    """Say how often the bank failed in a row, and for how many seconds senders pause."""
    ((failures, paused_until, retry_after_until, present),) = yield Statement(sql, {"now": now})
    return failures, max(0, max(paused_until, retry_after_until) - present) / MICRO


def _micro(seconds: float) -> int:
    return round(seconds * MICRO)


def prolong(claims: Sequence[Claim], *, lease: float, now: int | None) -> Plan[set[int]]:
    """Prolong leases, and give the numbers of those that still hold."""
    held: set[int] = set()
    for one in claims:
        given = {"number": one.instruction.number, "fencing_token": one.fencing_token, "lease": _micro(lease)}
        held.update(number for (number,) in (yield Statement(_PROLONG, {**given, "now": now})))
    return held


def finish(
    claim: Claim, result: Result, *, evidence: Any = None, needs_person: bool = False, now: int | None
) -> Plan[bool]:
    """Write down how an attempt ended; says whether the lease still held."""
    yield from _bank(claim, result, now)
    if result.kind == "accepted" and result.payment is not None:
        return (yield from _accept(claim, result.payment, evidence, now))
    return (yield from _write(claim, result, evidence=evidence, needs_person=needs_person, now=now))


def _write(claim: Claim, result: Result, *, evidence: Any, needs_person: bool, now: int | None) -> Plan[bool]:
    is_refused = result.kind == "refused"
    clear = result.kind == "not_sent" and claim.task == "send"
    state = {"refused": "refused", "in_doubt": "in_doubt"}.get(result.kind, "queued" if clear else "in_doubt")
    number = claim.instruction.number
    found = yield Statement(
        _FINISH,
        {
            "number": number,
            "fencing_token": claim.fencing_token,
            "state": state,
            "outcome": "refused" if is_refused else None,
            "pause": None if is_refused else _micro(result.pause),
            "clear": int(clear),
            "may_resend": int(result.may_resend),
            "needs_person": int(needs_person),
            "evidence": None if evidence is None else json.dumps(evidence),
            "reason": result.reason,
            "is_definite": int(is_refused),
            "now": now,
        },
    )
    if not found:
        return False
    if is_refused:
        ((day, creditor),) = found
        yield from count_no_more(claim.instruction, creditor, day)
    yield log(number, result.kind, detail=result.detail, now=now)
    return True


def _bank(claim: Claim, result: Result, now: int | None) -> Plan[None]:
    """Share what the attempt says about the bank."""
    if result.retry_after is not None:
        yield Statement(_RETRY_AFTER, {"pause": _micro(min(result.retry_after, MAX_RETRY_AFTER)), "now": now})
    if result.bank_failed:
        pause = _micro(nth(BACKOFF, claim.failures + 1))
        yield Statement(_FAILED, {"failures": claim.failures, "pause": pause, "now": now})
    elif claim.failures and (yield Statement(_RESPONDED, {"failures": claim.failures})) and claim.failures >= OUTAGE:
        yield Statement(_ALL_DUE, {"now": now})


def _accept(claim: Claim, payment: InstantPayment, evidence: Any, now: int | None) -> Plan[bool]:
    instruction = claim.instruction
    if instruction.operation in {"send", "return"}:
        others = yield Statement(_OWNERS, {"payment_id": payment.id, "number": instruction.number})
        if others:
            return (yield from _ask_both_again(claim, others[0], now))
    outcome = outcome_of(instruction.operation, instruction.content, payment)
    given = {
        "number": instruction.number,
        "fencing_token": claim.fencing_token,
        "payment_id": payment.id,
        **_columns_of(payment),
        "outcome": outcome,
        "pause": None if is_final(instruction.operation, outcome, payment) else _micro(next_poll(0)),
        "poll": _micro(next_poll(0)),
        "evidence": None if evidence is None else json.dumps(evidence),
        "now": now,
    }
    if not (yield Statement(_ACCEPT, given)) and not (yield Statement(_ACCEPT_KNOWN, given)):
        return False
    yield log(instruction.number, "accepted", detail=f"{payment.id} {words(payment)}", now=now)
    return True


MAX_MIXED_UP: Final = 6
"""After how many attempts a response that names another instruction's payment is left to evidence, or to a person."""


def _ask_both_again(claim: Claim, other: tuple[Any, ...], now: int | None) -> Plan[bool]:
    """Leave two instructions in doubt whose responses name one payment: one of them was to another request."""
    number, reference = other
    reason = f"the bank's response names the payment of {reference}"
    may_resend = claim.instruction.attempts < MAX_MIXED_UP
    unclear = Result(kind="in_doubt", reason=reason, detail=reason, pause=1.0, may_resend=may_resend)
    if may_resend:
        detail = f"the bank's response names the payment of {claim.instruction.reference}"
        yield Statement(_DISOWN, {"number": number, "now": now})
        yield log(number, "in_doubt", detail=detail, now=now)
    return (yield from _write(claim, unclear, evidence=None, needs_person=False, now=now))


def _columns_of(payment: InstantPayment) -> dict[str, Any]:
    return {"payment": encode(unstructure(payment)), "version": micro(payment.updated_at)}


def polled(claim: Claim, *, is_final: bool, failure: Result | None = None, now: int | None) -> Plan[bool]:
    """Give a poll's lease back: look again later, or never if nothing more is expected."""
    number = claim.instruction.number
    yield from _bank(claim, failure or RESPONDED, now)
    ((polls,),) = yield Statement(_POLLS, {"number": number})
    pause = None if is_final else _micro(next_poll(polls + 1))
    given = {"number": number, "fencing_token": claim.fencing_token, "pause": pause, "now": now}
    return bool((yield Statement(_POLLED, given)))


def seen(payment: InstantPayment, *, fingerprint: str, now: int | None) -> Plan[list[int]]:
    """Move instructions on by a payment as it is now; gives their numbers.

    A payment without an instruction is that of the one instruction that is being sent and fits it: an event can come
    before the response, and may be the only news. With several, none is resolved.
    """
    moved: list[int] = []
    has_owner = False
    for row in (yield Statement(_OF_PAYMENT, {"payment_id": payment.id})):
        has_owner |= row[_OPERATION] in ("send", "return")
        if (yield from _see(row, payment, now=now)):
            moved.append(row[0])
    original = payment.original_payment_id
    if payment.is_return and original is not None and payment.direction == "incoming" and payment.funds_moved:
        for row in (yield Statement(_OF_PAYMENT, {"payment_id": original})):
            moved += yield from _came_back(row, payment, now)
    if not has_owner and payment.direction == "outgoing":
        moved += yield from _resolve(payment, fingerprint, now)
    return moved


_OPERATION: Final = 2
"""Which column has the operation."""


def _see(row: Sequence[Any], payment: InstantPayment, *, now: int | None, resolved: bool = False) -> Plan[bool]:
    *columns, version = row
    before = instruction_of(columns)
    if version is not None and version >= micro(payment.updated_at):
        return False
    returned = before.return_payment_id is not None
    outcome = outcome_of(before.operation, before.content, payment, returned=returned)
    yield Statement(
        _SEEN,
        {
            "number": before.number,
            "payment_id": payment.id,
            **_columns_of(payment),
            "outcome": outcome,
            "return_payment_id": None,
            "is_final": int(is_final(before.operation, outcome, payment)),
            "now": now,
        },
    )
    action = "accepted" if resolved else "seen"
    if resolved or words(before.payment) != words(payment) or before.outcome != outcome:
        yield log(before.number, action, detail=f"{payment.id} {words(payment)}", now=now)
    return True


def _came_back(row: Sequence[Any], returning: InstantPayment, now: int | None) -> Plan[list[int]]:
    """Note that the money has come back by another payment."""
    *columns, version = row
    before = instruction_of(columns)
    if before.operation not in {"send", "request_return"} or before.return_payment_id is not None:
        return []
    payment = before.payment
    yield Statement(
        _SEEN,
        {
            "number": before.number,
            "payment_id": before.payment_id,
            "payment": None if payment is None else encode(unstructure(payment)),
            "version": version,
            "outcome": "returned",
            "return_payment_id": returning.id,
            "is_final": 1,
            "now": now,
        },
    )
    yield log(before.number, "seen", detail=f"returned by {returning.id}", now=now)
    return [before.number]


def _resolve(payment: InstantPayment, fingerprint: str, now: int | None) -> Plan[list[int]]:
    if payment.is_return:
        begun = yield Statement(_BEGUN_RETURNS, {"target": payment.original_payment_id})
    else:
        begun = yield Statement(_BEGUN, {"fingerprint": fingerprint})
    fitting = [row for row in begun if _may_be(instruction_of(row[:-1]), payment)]
    if len(fitting) != 1:
        return []
    yield from _see(fitting[0], payment, now=now, resolved=True)
    return [fitting[0][0]]


CLOCK_SLACK: Final = 300.0
"""By how many seconds the bank's clock and ours may differ."""


def _may_be(instruction: Instruction, payment: InstantPayment) -> bool:
    """Say whether a payment was created after the first attempt of an instruction, as far as clocks tell."""
    first: datetime | None = instruction.first_attempt_at
    is_later = first is not None and payment.created_at.timestamp() > first.timestamp() - CLOCK_SLACK
    return is_later and has_our_description(instruction.content, payment)


def claimants(instruction: Instruction, payment_ids: Sequence[str]) -> Plan[tuple[set[str], int]]:
    """Say which payments belong to other instructions, and how many others in doubt look equal to this one."""
    claimed = yield Statement(_CLAIMED, {"rows": json.dumps(list(payment_ids)), "number": instruction.number})
    ((rivals,),) = yield Statement(
        _RIVALS, {"number": instruction.number, "target": instruction.target_payment_id or ""}
    )
    return {payment_id for (payment_id,) in claimed}, int(rivals)

"""What a reason or a status of the bank means, who must act, and whether to try again. One table. Pure.

The bank publishes each value with a few words. The meaning, the advice and the words for a customer are leadpay's own,
and so are the ISO 20022 codes: the bank publishes none for its values, only in the free text of ``details``.
"""

from typing import NamedTuple

from leadpay.enums import OpenEnum, RejectedBy, RejectionReason
from leadpay.explanation_table import BY_LEAD, TABLE, Actor, TryAgain


class Explanation(NamedTuple):
    """What one value means."""

    code: str
    """The value, in the bank's current spelling."""
    kind: str
    """What it is a value of, such as ``rejection reason``."""
    meaning: str
    """What happened, for the people who operate the program."""
    who: Actor
    """Who must act."""
    try_again: TryAgain
    """Whether to try again."""
    for_customer: str
    """Words for your customer; empty where there is nothing to tell."""
    iso_code: str | None = None
    """The ISO 20022 code. leadpay's own mapping: the bank publishes none."""
    is_known: bool = True
    """Whether leadpay knows the value."""


def explain(code: str, kind: type[OpenEnum] | None = None, *, rejected_by: str | None = None) -> Explanation:
    """Explain a value of one of the bank's enums.

    Args:
        code: a member of an enum, or its value, in the current or in an older spelling.
        kind: the enum; if it is left out, the member's own. A plain string is looked for in every enum, rejection
            reasons first: ``account_closed`` is one of them, and a reason to reject a return request as well.
        rejected_by: who rejected, for a rejection reason: some reasons of Lead's are about your own account.

    Returns:
        The explanation. One of an unknown value says that it is unknown.
    """
    if kind is None and isinstance(code, OpenEnum):
        kind = type(code)
    found = explain_all(code) if kind is None else (_explain(code, kind),)
    if not found:
        return _unknown(code, "value")
    [first, *_] = found
    by_lead = BY_LEAD.get(RejectionReason(first.code)) if rejected_by == RejectedBy.LEAD else None
    if by_lead is not None and first.kind == TABLE[RejectionReason][0]:
        return Explanation(first.code, first.kind, *by_lead)
    return first


def explain_all(code: str) -> tuple[Explanation, ...]:
    """Explain a value in every enum that has it; empty if none has."""
    found = (_explain(str(code), kind) for kind in TABLE)
    return tuple(one for one in found if one.is_known)


def every_explanation() -> tuple[Explanation, ...]:
    """Explain every value of every enum, in the order of the table."""
    return tuple(_explain(code, kind) for kind, (_, rows) in TABLE.items() for code in rows)


def _explain(code: str, kind: type[OpenEnum]) -> Explanation:
    name, rows = TABLE.get(kind, ("value", {}))
    value = kind(str(code)) if rows else code
    row = rows.get(value)
    return _unknown(code, name) if row is None else Explanation(str(value), name, *row)


def _unknown(code: str, kind: str) -> Explanation:
    return Explanation(
        str(code),
        kind,
        "Unknown to this version of leadpay. Ask Lead what it means, and look for a newer leadpay.",
        Actor.US,
        TryAgain.NO,
        "We are looking into it.",
        is_known=False,
    )

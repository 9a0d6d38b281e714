"""What becomes of a payment: told by its account and routing numbers, or asked for by name. Pure.

The bank does not say how its own sandbox chooses; this scheme is ours. One table, :data:`SCENARIOS`, holds it, and
:func:`describe` prints it for people.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import attrs

from leadpay.sandbox.constants import REJECTION_REASONS

PREFIX: Final = "990000"
"""How a magic account number begins: then one digit for the story and three for the reason or the variant."""

DELISTED_ROUTING_NUMBER: Final = "990000404"
"""A bank that is not on the network (think of HTTP's 404)."""

SIGNED_OFF_ROUTING_NUMBER: Final = "990000503"
"""A bank that has signed off for the time being (think of HTTP's 503)."""

INVALID_ROUTING_NUMBER: Final = "990000422"
"""A routing number that the bank takes for invalid although it has nine digits (think of HTTP's 422)."""


class Step(NamedTuple):
    """One change of a payment's state."""

    kind: str
    """``review``, ``post``, ``reject``, ``counterparty``, ``give_back``, or ``hold`` (until released)."""
    word: str = ""
    """Who rejects, or the new counterparty status."""
    reason: str = ""
    """Why it is rejected."""


REVIEW: Final = Step("review")
POST: Final = Step("post")
HOLD: Final = Step("hold")
GIVE_BACK: Final = Step("give_back")
ARRIVE: Final = Step("counterparty", "posted")
LOOK: Final = Step("counterparty", "under_review")


@attrs.frozen
class Outcome:
    """What becomes of a payment, move by move; the first one happens one delay after it was made."""

    name: str
    moves: tuple[Step, ...]


POSTED: Final = Outcome("posted", (POST, ARRIVE))
"""What happens unless something else is asked for: posted, and then at the counterparty."""


class Scenario(NamedTuple):
    """A family of outcomes, and how it is spelled in account numbers."""

    digit: int
    """The digit after the prefix."""
    name: str
    """As in ``next_payment("rejected_by_lead:other")``; the reason only where ``reasons`` says so."""
    moves: tuple[Step, ...]
    reasons: bool
    """Whether three digits choose a rejection reason; otherwise they are ``variant``."""
    variant: int
    summary: str
    incoming: bool = False
    """Whether an incoming payment's debtor account number can ask for it as well."""


def _turned_down(by: str) -> Step:
    return Step("reject", by, "{reason}")


_TURNED_DOWN_THERE: Final = Step("counterparty", "rejected", "{reason}")

SCENARIOS: Final = (
    Scenario(0, "reviewed", (REVIEW, POST, ARRIVE), False, 1, "under review at Lead, then posted", True),
    Scenario(0, "held", (REVIEW, HOLD, POST, ARRIVE), False, 2, "under review at Lead until released or refused", True),
    Scenario(0, "reviewed_there", (POST, LOOK, ARRIVE), False, 3, "posted, under review at the counterparty, arrived"),
    Scenario(
        0, "held_there", (POST, LOOK, HOLD, ARRIVE), False, 4, "posted, under review there until released or refused"
    ),
    Scenario(0, "unsubmitted", (HOLD, POST, ARRIVE), False, 5, "stays created, and can be canceled, until released"),
    Scenario(0, "silent", (POST,), False, 6, "posted, and nothing is heard from the counterparty"),
    Scenario(1, "rejected_by_lead", (_turned_down("lead"),), True, 0, "rejected by Lead", True),
    Scenario(2, "rejected_by_network", (_turned_down("network"),), True, 0, "rejected by the network"),
    Scenario(3, "rejected_by_counterparty", (_turned_down("counterparty"),), True, 0, "rejected by the counterparty"),
    Scenario(
        4,
        "returned",
        (POST, _TURNED_DOWN_THERE, GIVE_BACK),
        True,
        0,
        "posted, then rejected by the counterparty, then returned by an incoming payment",
    ),
    Scenario(
        5,
        "reviewed_and_returned",
        (POST, LOOK, _TURNED_DOWN_THERE, GIVE_BACK),
        True,
        0,
        "posted, under review there, then rejected by the counterparty and returned",
    ),
    Scenario(
        6, "reviewed_and_rejected", (REVIEW, _turned_down("lead")), True, 0, "under review, then rejected by Lead", True
    ),
)
"""Every story that can be asked for."""

ROUTING_NUMBERS: Final[Mapping[str, tuple[str, str]]] = {
    DELISTED_ROUTING_NUMBER: (
        "participant_not_on_network",
        "not on the network: not available, rejected by the network",
    ),
    SIGNED_OFF_ROUTING_NUMBER: ("participant_signed_off", "signed off: not available, rejected by the network"),
    INVALID_ROUTING_NUMBER: ("routing_number_format_incorrect", "invalid: 422 when asked, rejected by the network"),
}
"""Routing numbers that cannot be paid: the reason, and in words."""


def _outcome(story: Scenario, reason: str) -> Outcome:
    name = f"{story.name}:{reason}" if story.reasons else story.name
    moves = tuple(move._replace(reason=reason) if move.reason else move for move in story.moves)
    return Outcome(name, moves)


def _table() -> dict[str, tuple[Scenario, Outcome]]:
    table = {}
    for story in SCENARIOS:
        choices = enumerate(REJECTION_REASONS, 1) if story.reasons else ((story.variant, ""),)
        for number, reason in choices:
            table[f"{PREFIX}{story.digit}{number:03}"] = (story, _outcome(story, reason))
    return table


ACCOUNT_NUMBERS: Final[Mapping[str, tuple[Scenario, Outcome]]] = _table()
"""Every magic account number, with its story and its outcome."""

_NAMED: Final = {outcome.name: outcome for _, outcome in ACCOUNT_NUMBERS.values()} | {POSTED.name: POSTED}
_NUMBER_OF: Final = {outcome.name: number for number, (_, outcome) in ACCOUNT_NUMBERS.items()}


def named(name: str) -> Outcome:
    """The outcome of that name, such as ``held`` or ``returned:account_closed``.

    Raises:
        ValueError: there is none.
    """
    try:
        return _NAMED[name]
    except KeyError:
        raise ValueError(f"outcome: {name!r} is not one of those that leadpay.sandbox.describe() lists") from None


def account_number(name: str) -> str:
    """The magic account number that brings an outcome about.

    Raises:
        ValueError: there is none.
    """
    return _NUMBER_OF[named(name).name] if name != POSTED.name else "1234567890"


def of_outgoing(account_number: str, routing_number: str) -> Outcome:
    """What becomes of an outgoing payment to these numbers."""
    if routing_number in ROUTING_NUMBERS:
        reason = ROUTING_NUMBERS[routing_number][0]
        return _NAMED[f"rejected_by_network:{reason}"]
    return ACCOUNT_NUMBERS[account_number][1] if account_number in ACCOUNT_NUMBERS else POSTED


def of_incoming(account_number: str) -> Outcome:
    """What becomes of an incoming payment from this account number."""
    story, outcome = ACCOUNT_NUMBERS.get(account_number, (None, POSTED))
    return outcome if story is not None and story.incoming else POSTED


def describe() -> str:
    """The whole table in words, for a README and for ``--help``."""
    lines = [
        f"An account number of ten digits that begins with {PREFIX} chooses what becomes of a payment to it;",
        "the same numbers, as the debtor's, choose for an incoming payment where marked *. RRR is a reason's number.",
        "",
    ]
    for story in SCENARIOS:
        digits = "RRR" if story.reasons else f"{story.variant:03}"
        mark = "*" if story.incoming else " "
        name = f"{story.name}:REASON" if story.reasons else story.name
        lines.append(f"  {PREFIX}{story.digit}{digits}{mark} {name:<33}{story.summary}")
    lines += ["", "Reasons:"]
    lines += [f"  {number:03}  {reason}" for number, reason in enumerate(REJECTION_REASONS, 1)]
    lines += ["", "Routing numbers:"]
    lines += [f"  {number}  {summary}" for number, (_, summary) in ROUTING_NUMBERS.items()]
    return "\n".join(lines)

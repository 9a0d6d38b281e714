"""How a payment ends: chosen by its account and routing numbers, or by name. Pure.

The bank does not publish how its own sandbox chooses; this scheme is ours. One table, :data:`SCENARIOS`, holds it, and
:func:`describe` prints it for people.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

import attrs

from leadpay.sandbox.constants import REJECTION_REASONS

PREFIX: Final = "990000"
"""How a magic account number begins: then one digit for the scenario and three for the reason or the variant."""

DELISTED_ROUTING_NUMBER: Final = "990000404"
"""A bank that is not on the network (as in HTTP's 404)."""

SIGNED_OFF_ROUTING_NUMBER: Final = "990000503"
"""A bank that has signed off for the time being (as in HTTP's 503)."""

INVALID_ROUTING_NUMBER: Final = "990000422"
"""A routing number that the bank refuses as invalid although it has nine digits (as in HTTP's 422)."""


class Step(NamedTuple):
    """One change of a payment's state."""

    kind: str
    """``review``, ``post``, ``reject``, ``counterparty_status``, ``return``, or ``hold`` (until released)."""
    rejected_by: str = ""
    counterparty_status: str = ""
    reason: str = ""
    """Why it is rejected."""


REVIEW: Final = Step("review")
POST: Final = Step("post")
HOLD: Final = Step("hold")
RETURN: Final = Step("return")
ARRIVE: Final = Step("counterparty_status", counterparty_status="posted")
COUNTERPARTY_REVIEW: Final = Step("counterparty_status", counterparty_status="under_review")


def reject(by: str, reason: str) -> Step:
    """The step by which a payment is rejected before it posts."""
    return Step("reject", rejected_by=by, reason=reason)


def counterparty_reject(reason: str) -> Step:
    """The step by which the counterparty rejects a payment that has posted."""
    return Step("counterparty_status", rejected_by="counterparty", counterparty_status="rejected", reason=reason)


@attrs.frozen
class Script:
    """The steps of one payment; the first step happens one delay after the payment was made."""

    name: str
    steps: tuple[Step, ...]


POSTED: Final = Script("posted", (POST, ARRIVE))
"""The outcome unless another is chosen: posted, and then posted at the counterparty."""


class Scenario(NamedTuple):
    """A family of outcomes, and the account numbers that choose them."""

    digit: int
    """The digit after the prefix."""
    name: str
    """As in ``next_payment("rejected_by_lead:other")``; with a reason only if ``has_reasons``."""
    steps: tuple[Step, ...]
    has_reasons: bool
    """Whether three digits choose a rejection reason; otherwise they are ``variant``."""
    variant: int
    summary: str
    incoming: bool = False
    """Whether an incoming payment's debtor account number can choose it as well."""


_REASON: Final = "{reason}"
"""Stands in a scenario's steps for the reason that is chosen."""

SCENARIOS: Final = (
    Scenario(0, "reviewed", (REVIEW, POST, ARRIVE), False, 1, "under review at Lead, then posted", True),
    Scenario(0, "held", (REVIEW, HOLD, POST, ARRIVE), False, 2, "under review at Lead until released or refused", True),
    Scenario(
        0,
        "reviewed_there",
        (POST, COUNTERPARTY_REVIEW, ARRIVE),
        False,
        3,
        "posted, under review at the counterparty, arrived",
    ),
    Scenario(
        0,
        "held_there",
        (POST, COUNTERPARTY_REVIEW, HOLD, ARRIVE),
        False,
        4,
        "posted, under review at the counterparty until released or refused",
    ),
    Scenario(0, "unsubmitted", (HOLD, POST, ARRIVE), False, 5, "stays created, and can be canceled, until released"),
    Scenario(0, "silent", (POST,), False, 6, "posted, and the counterparty's status is never known"),
    Scenario(1, "rejected_by_lead", (reject("lead", _REASON),), True, 0, "rejected by Lead", True),
    Scenario(2, "rejected_by_network", (reject("network", _REASON),), True, 0, "rejected by the network"),
    Scenario(
        3, "rejected_by_counterparty", (reject("counterparty", _REASON),), True, 0, "rejected by the counterparty"
    ),
    Scenario(
        4,
        "returned",
        (POST, counterparty_reject(_REASON), RETURN),
        True,
        0,
        "posted, then rejected by the counterparty, then returned by an incoming payment",
    ),
    Scenario(
        5,
        "reviewed_and_returned",
        (POST, COUNTERPARTY_REVIEW, counterparty_reject(_REASON), RETURN),
        True,
        0,
        "posted, under review at the counterparty, then rejected by it and returned",
    ),
    Scenario(
        6,
        "reviewed_and_rejected",
        (REVIEW, reject("lead", _REASON)),
        True,
        0,
        "under review, then rejected by Lead",
        True,
    ),
)
"""Every scenario."""

ROUTING_NUMBERS: Final[Mapping[str, tuple[str, str]]] = {
    DELISTED_ROUTING_NUMBER: (
        "participant_not_on_network",
        "not on the network: not available, rejected by the network",
    ),
    SIGNED_OFF_ROUTING_NUMBER: ("participant_signed_off", "signed off: not available, rejected by the network"),
    INVALID_ROUTING_NUMBER: (
        "routing_number_format_incorrect",
        "invalid: check_availability responds with 422, rejected by the network",
    ),
}
"""Routing numbers that cannot be paid: the reason, and a description."""


def _outcome(scenario: Scenario, reason: str) -> Script:
    name = f"{scenario.name}:{reason}" if scenario.has_reasons else scenario.name
    return Script(name, tuple(step._replace(reason=reason) if step.reason else step for step in scenario.steps))


def _table() -> dict[str, tuple[Scenario, Script]]:
    table = {}
    for scenario in SCENARIOS:
        choices = enumerate(REJECTION_REASONS, 1) if scenario.has_reasons else ((scenario.variant, ""),)
        for number, reason in choices:
            table[f"{PREFIX}{scenario.digit}{number:03}"] = (scenario, _outcome(scenario, reason))
    return table


ACCOUNT_NUMBERS: Final[Mapping[str, tuple[Scenario, Script]]] = _table()
"""Every magic account number, with its scenario and its outcome."""

_BY_NAME: Final = {outcome.name: outcome for _, outcome in ACCOUNT_NUMBERS.values()} | {POSTED.name: POSTED}
_NUMBERS: Final = {outcome.name: number for number, (_, outcome) in ACCOUNT_NUMBERS.items()}


def by_name(name: str) -> Script:
    """The outcome of that name, such as ``held`` or ``returned:account_closed``.

    Raises:
        ValueError: there is none.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise ValueError(f"outcome: {name!r} is not one of those that leadpay.sandbox.describe() lists") from None


def account_number(name: str) -> str:
    """The magic account number that chooses an outcome.

    Raises:
        ValueError: there is no such outcome.
    """
    return _NUMBERS[by_name(name).name] if name != POSTED.name else "1234567890"


def of_outgoing(account_number: str, routing_number: str) -> Script:
    """How an outgoing payment to these numbers ends."""
    if routing_number in ROUTING_NUMBERS:
        reason = ROUTING_NUMBERS[routing_number][0]
        return _BY_NAME[f"rejected_by_network:{reason}"]
    return ACCOUNT_NUMBERS[account_number][1] if account_number in ACCOUNT_NUMBERS else POSTED


def of_incoming(account_number: str) -> Script:
    """How an incoming payment from this account number ends."""
    scenario, outcome = ACCOUNT_NUMBERS.get(account_number, (None, POSTED))
    return outcome if scenario is not None and scenario.incoming else POSTED


class Choices:
    """The outcomes that were chosen for the next payments."""

    __slots__ = ("_chosen",)

    def __init__(self) -> None:
        self._chosen: dict[str, deque[Script]] = {"outgoing": deque(), "incoming": deque()}

    def add(self, outcome: Script | str, direction: str) -> None:
        """Choose an outcome, after those that were chosen before.

        Raises:
            ValueError: there is no such outcome or direction.
        """
        if direction not in self._chosen:
            raise ValueError("direction: must be 'outgoing' or 'incoming'")
        self._chosen[direction].append(by_name(outcome) if isinstance(outcome, str) else outcome)

    def take(self, direction: str, default: Script) -> Script:
        """The outcome of the next payment, which is chosen no more."""
        chosen = self._chosen[direction]
        return chosen.popleft() if chosen else default

    def names(self) -> dict[str, tuple[str, ...]]:
        """The names of the outcomes, by direction."""
        return {direction: tuple(script.name for script in chosen) for direction, chosen in self._chosen.items()}


def describe() -> str:
    """The whole table as text, for a README and for ``--help``."""
    lines = [
        f"A creditor's account number of ten digits that begins with {PREFIX} chooses how an outgoing payment ends;",
        "the debtor's chooses how an incoming payment ends where marked *. RRR is the number of a reason.",
        "",
    ]
    for scenario in SCENARIOS:
        digits = "RRR" if scenario.has_reasons else f"{scenario.variant:03}"
        mark = "*" if scenario.incoming else " "
        name = f"{scenario.name}:REASON" if scenario.has_reasons else scenario.name
        lines.append(f"  {PREFIX}{scenario.digit}{digits}{mark} {name:<33}{scenario.summary}")
    lines += ["", "Reasons:"]
    lines += [f"  {number:03}  {reason}" for number, reason in enumerate(REJECTION_REASONS, 1)]
    lines += ["", "Routing numbers:"]
    lines += [f"  {number}  {summary}" for number, (_, summary) in ROUTING_NUMBERS.items()]
    return "\n".join(lines)

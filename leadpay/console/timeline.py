"""One payment as a timeline: what happened to it, in the order in which it happened. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import attrs

from leadpay.console.render import TONES, duration, words
from leadpay.models import InstantPayment, ReturnRequest

DUE_SOON: Final = 86_400.0
"""Seconds before the deadline of a return request from which it counts as urgent."""


@attrs.frozen(kw_only=True)
class Part:
    """A line below an entry: an attempt to deliver a webhook, a run of a handler."""

    title: str
    state: str = ""
    note: str = ""
    url: str = ""
    at: datetime | None = None


@attrs.frozen(kw_only=True)
class Entry:
    """Something that happened to a payment."""

    key: str
    """Unique within the timeline, and the same whenever the page is made."""
    at: datetime
    title: str
    state: str = ""
    note: str = ""
    url: str = ""
    parts: Sequence[Part] = ()

    @property
    def tone(self) -> str:
        """The color of its dot."""
        return TONES.get(self.state, "")


def entries_of(payment: InstantPayment) -> list[Entry]:
    """What the payment itself tells: its beginning, and its return requests."""
    title = "Received" if payment.direction == "incoming" else "Created"
    found = [Entry(key="created", at=payment.created_at, title=title)]
    for number, request in enumerate(payment.return_requests):
        asked_by = "The counterparty requests a return" if payment.direction == "incoming" else "We request a return"
        found.append(
            Entry(
                key=f"request-{number}",
                at=request.created_at,
                title=asked_by,
                state="" if request.resolution else str(request.status),
                note=f"Reason: {words(request.reason)}",
            )
        )
        if request.resolution is not None:
            reason = request.resolution.rejection_reason
            found.append(
                Entry(
                    key=f"resolution-{number}",
                    at=request.resolution.resolved_at,
                    title=f"Return request {words(request.status)} by {words(request.resolution.resolved_by)}",
                    state=str(request.status),
                    note=f"Reason: {words(reason)}" if reason else "",
                )
            )
    return found


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Sort entries by their time; what has the same time stays as it is."""
    return sorted(entries, key=lambda entry: entry.at)


@attrs.frozen(kw_only=True)
class Countdown:
    """The return request that is open, and how much time is left."""

    request: ReturnRequest
    seconds: float
    """Until the deadline; negative once it has passed."""

    @property
    def text(self) -> str:
        """The time left, in words."""
        text = f"{duration(self.seconds)} left" if self.seconds > 0 else "the deadline has passed"
        return f"{text}, by our own calendar" if self.request.deadline_is_computed else text

    @property
    def is_urgent(self) -> bool:
        """Whether it should be looked at now."""
        return self.seconds < DUE_SOON


def countdown(payment: InstantPayment, now: float) -> Countdown | None:
    """The open return request of a payment, or None."""
    request = payment.active_return_request
    if request is None:
        return None
    return Countdown(request=request, seconds=request.deadline.timestamp() - now)


def counterparty(payment: InstantPayment) -> str:
    """The account number on the other side, unmasked."""
    other = payment.debtor if payment.direction == "incoming" else payment.creditor
    return other.account_number

"""What happened, told to whoever asked: a function that takes one fact at a time.

What takes time is told twice, when it starts and when it ends; the second fact holds the first. Both are told in the
task that does the work, so that an observer may set context variables in between. No fact holds a name, an account
number, an amount, a body, a token or a secret::

    def observe(fact: Observation) -> None:
        if isinstance(fact, CallEnded) and fact.outcome_unknown:
            alarm(fact.started.operation, fact.idempotency_key)

    lead = LeadClient.from_env(observer=observe)
    receiver = WebhookReceiver(router, secrets=..., observer=observe)
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

logger = logging.getLogger("leadpay")


class CallStarted(NamedTuple):
    """A call of the client's began; a token's renewal is a call, too."""

    operation: str
    """The client's name for it, such as ``send``."""
    method: str
    path: str
    """Without its query."""
    idempotency_key: str | None
    base_url: str | None = None
    """Where the bank is."""


class AttemptStarted(NamedTuple):
    """A request goes out."""

    call: CallStarted
    number: int
    """Counted from 1; every one after the first is a repetition."""


class AttemptEnded(NamedTuple):
    """An answer came, or none."""

    started: AttemptStarted
    status: int | None
    """The HTTP status, or None without an answer."""
    error: str | None
    """The class of the error, without an answer."""
    seconds: float
    request_id: str | None


class CallEnded(NamedTuple):
    """A call gave its result or raised its error."""

    started: CallStarted
    attempts: int
    error: str | None
    """The class of what was raised, or None."""
    outcome_unknown: bool
    """Whether it may have happened: an OutcomeUnknownError, or a write that was cancelled on its way."""
    payment_id: str | None
    """The payment that the call gave."""
    seconds: float


class WebhookReceived(NamedTuple):
    """A webhook was answered."""

    status: int
    """The HTTP status that the bank was given."""
    result: str
    """``accepted``, ``duplicate``, ``failed``, or why it was refused: the receiver's counts have the same words."""
    event_id: str | None
    """None where the webhook was not authentic or not readable; likewise the next two."""
    event_type: str | None
    payment_id: str | None
    seconds: float


class HandlerStarted(NamedTuple):
    """A handler is about to run."""

    handler: str
    """``module:qualified name``."""
    event_id: str
    event_type: str
    payment_id: str | None
    attempt: int
    received_at: datetime


class HandlerEnded(NamedTuple):
    """A handler ended."""

    started: HandlerStarted
    status: Literal["succeeded", "failed", "deferred", "discarded", "cancelled"]
    error: str | None
    """The class of what a failing handler raised."""
    seconds: float


class DeadLettered(NamedTuple):
    """A handler's last attempt failed, and nothing more happens with its event until somebody looks at it."""

    handler: str
    event_id: str
    event_type: str
    payment_id: str | None
    attempts: int


class InboxMeasured(NamedTuple):
    """How much waits in the inbox; told every now and then by whoever works on it."""

    waiting: int
    dead: int
    oldest_waiting_seconds: float | None
    """How long ago the longest-waiting event was received, or None if nothing waits."""


Observation: TypeAlias = (
    CallStarted
    | AttemptStarted
    | AttemptEnded
    | CallEnded
    | WebhookReceived
    | HandlerStarted
    | HandlerEnded
    | DeadLettered
    | InboxMeasured
)

Observer: TypeAlias = Callable[[Observation], object]
"""A function of your own. It must not wait; what it raises is logged and goes no further."""


def notify(observer: Observer, fact: Observation) -> None:
    """Tell a fact; no payment and no webhook suffers from an observer that fails."""
    try:
        observer(fact)
    except Exception as error:  # noqa: BLE001 - a user's function
        logger.error("the observer failed on %s: %s", type(fact).__name__, type(error).__name__)  # noqa: TRY400 - its message may hold anything

"""Observations: what leadpay tells a function of yours about its work, one at a time.

Work that takes time gives two observations, at its start and at its end; the second one holds the first. Both come in
the task that does the work, so an observer may set context variables in between. No observation holds a name, an
account number, an amount, a body, a token or a secret::

    def observe(observation: Observation) -> None:
        if isinstance(observation, CallEnded) and observation.outcome_unknown:
            alarm(observation.started.operation, observation.started.idempotency_key)

    lead = LeadClient.from_env(observer=observe)
    receiver = WebhookReceiver(router, secrets=..., observer=observe)
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

logger = logging.getLogger("leadpay")


class CallStarted(NamedTuple):
    """A call of the client started; the renewal of a token is a call, too."""

    operation: str
    """Its name, such as ``send`` or ``return``."""
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
    """A response came, or none."""

    started: AttemptStarted
    status: int | None
    """The HTTP status, or None without a response."""
    error: str | None
    """The class of the error, if there was no response."""
    seconds: float
    request_id: str | None


class CallEnded(NamedTuple):
    """A call returned or raised."""

    started: CallStarted
    attempts: int
    error: str | None
    """The class of what was raised, or None."""
    outcome_unknown: bool
    """Whether it may or may not have happened: an OutcomeUnknownError, or a write that was cancelled."""
    payment_id: str | None
    """The payment that the call returned."""
    seconds: float


class WebhookReceived(NamedTuple):
    """A webhook got its response."""

    status: int
    """The HTTP status of the response."""
    result: str
    """``accepted``, ``duplicate``, ``failed``, or why it was refused; the receiver's ``counts`` has the same keys."""
    event_id: str | None
    """None if the webhook was not authentic or not readable; so are the next two."""
    event_type: str | None
    payment_id: str | None
    seconds: float


class SecretMatched(NamedTuple):
    """A signing secret verified a webhook."""

    fingerprint: str
    """Names the secret without showing it; see ``leadpay secrets``."""
    position: int
    """Its place among the configured secrets, counted from 1; every other than the first is an older one."""


class HandlerStarted(NamedTuple):
    """A handler run starts."""

    handler: str
    """``module:qualified name``."""
    event_id: str
    event_type: str
    payment_id: str | None
    attempt: int
    received_at: datetime


class HandlerEnded(NamedTuple):
    """A handler run ended."""

    started: HandlerStarted
    status: Literal["succeeded", "failed", "deferred", "discarded", "cancelled"]
    error: str | None
    """The class of what a failed or cancelled handler raised."""
    seconds: float


class HandlerBlocked(NamedTuple):
    """A handler did not await anything for half a second or longer: webhooks and other handlers waited for it."""

    handler: str
    """``module:qualified name``."""
    event_id: str
    event_type: str
    payment_id: str | None
    seconds: float


class HandlerPaused(NamedTuple):
    """A worker stopped to run a handler that timed out again and again. Its events wait, and use up no attempt."""

    handler: str
    failures: int
    """How many attempts in a row took long and failed."""
    seconds: float
    """After how long one attempt is made, to see whether it works again."""


class DeadLettered(NamedTuple):
    """A handler's last attempt failed. It runs again only after a replay."""

    handler: str
    event_id: str
    event_type: str
    payment_id: str | None
    attempts: int


class DriftSeen(NamedTuple):
    """The bank sent what this version does not know: see ``leadpay.drift``."""

    kind: Literal["word", "field", "missing", "type"]
    owner: str
    """The enum or the model, such as ``ReturnReason``."""
    detail: str
    """The word, the field, or the field's path and what is wrong."""
    object_id: str | None
    """The object that has it."""
    where: str
    """The client's operation, or ``webhook``."""


class InboxMeasured(NamedTuple):
    """How much waits in the inbox; observed every minute by each worker."""

    waiting: int
    dead: int
    oldest_waiting_seconds: float | None
    """The age of the longest-waiting event, or None if nothing waits."""
    unhandled: int = 0
    """How many events no handler took."""
    unreadable: int = 0
    """How many authentic events cannot be read."""


class InstructionEnded(NamedTuple):
    """An attempt of a sender ended, and what came back was written down."""

    reference: str
    operation: str
    result: Literal["accepted", "refused", "in_doubt", "not_sent"]
    payment_id: str | None
    attempts: int
    needs_person: bool
    """Whether it is in doubt, and only a person can resolve it."""


class OutboxMeasured(NamedTuple):
    """How much an outbox holds; observed every minute by each sender."""

    by_state: Mapping[str, int]
    needs_person: int
    """How many in doubt wait for a person."""
    oldest_queued_seconds: float | None
    """How long ago the head of the queue was queued, or None if nothing waits."""


Observation: TypeAlias = (
    CallStarted
    | AttemptStarted
    | AttemptEnded
    | CallEnded
    | WebhookReceived
    | SecretMatched
    | HandlerStarted
    | HandlerEnded
    | HandlerBlocked
    | HandlerPaused
    | DeadLettered
    | DriftSeen
    | InboxMeasured
    | InstructionEnded
    | OutboxMeasured
)

Observer: TypeAlias = Callable[[Observation], object]
"""A function of your own. It must not wait. What it raises is logged and ignored."""


def notify(observer: Observer, observation: Observation) -> None:
    """Call the observer. An observer that raises affects no payment and no webhook."""
    try:
        observer(observation)
    except Exception as error:  # noqa: BLE001 - a user's function
        logger.error("the observer failed on %s: %s", type(observation).__name__, type(error).__name__)  # noqa: TRY400 - its message may contain private data

"""The records of an outbox, and the protocol of the database under it. Pure."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import attrs

from leadpay.models import InstantPayment
from leadpay.storage import Dialect

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Operation: TypeAlias = Literal["send", "return", "request_return", "reject_return_request", "cancel"]
"""What an instruction asks the bank for."""

InstructionState: TypeAlias = Literal["held", "queued", "sending", "accepted", "refused", "withdrawn", "in_doubt"]
"""``held``: waits for a person's approval. ``queued``: waits for a sender. ``sending``: an attempt has begun.
``accepted``: the bank has it, and its payment is known. ``refused``: a definite no of the bank; nothing moved.
``withdrawn``: taken back before it left. ``in_doubt``: it may or may not have happened."""

Outcome: TypeAlias = Literal["arrived", "rejected", "returned", "canceled", "refused", "withdrawn"]
"""How an instruction ended. A payment that was ``arrived`` or ``rejected`` may still be ``returned``."""

Until: TypeAlias = Literal["accepted", "posted", "arrived", "final"]
"""What to wait for. Each wait also ends when it can't be reached any more."""

UNTIL: Final[tuple[Until, ...]] = ("accepted", "posted", "arrived", "final")


@attrs.frozen(kw_only=True)
class Instruction:
    """A write that the program has decided on. A repr has no name, no account number and no key."""

    number: int
    """The order in which instructions were queued."""
    reference: str
    """The user's own, unique in the outbox."""
    operation: Operation
    state: InstructionState
    outcome: Outcome | None = None
    """How it ended, or None while that is open."""
    account_number_id: str | None = None
    """The account number that a payment is sent from; None unless the operation is ``send``."""
    amount: int | None = None
    """Cents; None unless the operation is ``send``."""
    target_payment_id: str | None = None
    """The payment that is returned, canceled and so on; None if the operation is ``send``."""
    payment_id: str | None = None
    """The bank's payment, once the bank has accepted the instruction: for ``send`` and ``return`` a new one."""
    return_payment_id: str | None = None
    """The incoming payment that gave the money back."""
    payment: InstantPayment | None = attrs.field(default=None, repr=False)
    """The payment as last seen, or None: not seen yet, or erased."""
    content: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """What is sent, as JSON data; None once it was purged or erased."""
    idempotency_key: str = attrs.field(repr=False)
    """Made once from the reference, for all attempts."""
    priority: int = 0
    """A higher one is sent earlier."""
    attempts: int = 0
    """How many attempts have begun."""
    reason: str | None = None
    """Why it is held, refused, withdrawn, in doubt or tried again later."""
    evidence: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """What was found about an instruction in doubt: when it was looked up, and the payments that fit."""
    needs_person: bool = False
    """Whether it is in doubt and can't be resolved without :meth:`Outbox.resolve`."""
    created_at: datetime
    updated_at: datetime
    """When its state or its payment last changed."""
    first_attempt_at: datetime | None = None
    """When the first attempt that the bank may have executed began."""
    next_at: datetime | None = None
    """When a sender takes it up next; None if nothing is due."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more is expected.

        A payment that was posted and then rejected by the counterparty is final once the money has come back.
        """
        return is_final(self.operation, self.outcome, self.payment)

    def has_reached(self, until: Until) -> bool:
        """Whether a wait is over: what it waits for is there, or can't come any more."""
        if until == "final":
            return self.is_final
        if until == "arrived":
            return self.outcome is not None
        if self.outcome is not None:
            return True
        if until == "posted":
            return self.payment is not None and self.payment.funds_moved
        return self.state == "accepted"


def is_final(operation: Operation, outcome: Outcome | None, payment: InstantPayment | None) -> bool:
    """Say whether nothing more is expected of an instruction."""
    awaits_return = outcome == "rejected" and operation in {"send", "return"}
    return outcome is not None and not (awaits_return and payment is not None and payment.funds_moved)


@attrs.frozen(kw_only=True)
class LogEntry:
    """One line of an instruction's audit trail, which is never changed."""

    at: datetime
    action: str
    """What happened: ``queued``, ``held``, ``approved``, ``withdrawn``, ``attempt``, ``accepted``, ``refused``,
    ``in_doubt``, ``not_sent``, ``seen``, ``resolved``, ``erased``."""
    by: str | None = None
    """Who did it, as the caller named them; None if the outbox did it by itself."""
    detail: str | None = None
    """Codes, statuses and IDs; no name, account number or key."""


@attrs.frozen(kw_only=True)
class OutboxStats:
    """How much an outbox holds, from kept counts."""

    by_state: Mapping[str, int]
    by_outcome: Mapping[str, int]
    needs_person: int
    """How many in doubt wait for a person."""
    oldest_queued: datetime | None
    """When the instruction at the head of the queue was queued."""
    paused_until: datetime | None
    """Until when no sender sends, since the bank is away or asked for a pause; None if they may."""


Task: TypeAlias = Literal["send", "resend", "evidence", "poll"]
"""What a claim is for: a first attempt, the same key again, a look for evidence, or a look at the payment."""


@attrs.frozen(kw_only=True)
class Claim:
    """An instruction that one sender works on, until its lease ends or a newer fencing token is given out."""

    instruction: Instruction
    task: Task
    fencing_token: int
    failures: int
    """The shared count of failures when it was claimed."""
    claimed_at: float = 0.0
    """By the monotonic clock of the sender."""


class LeaseLostError(Exception):
    """Internal: another sender has the instruction, or a person resolved it, so this result is not kept."""


# One operation on a database, written once: it yields statements and is sent their rows. Who drives it does the I/O:
# a thread with SQLite's connection, psycopg's pool, or the connection that a user brings.


class Statement(NamedTuple):
    """A statement with ``:name`` parameters, cast for PostgreSQL (``:name::text``), and their values."""

    sql: str
    parameters: Mapping[str, Any]


Rows: TypeAlias = Sequence[tuple[Any, ...]]
Plan: TypeAlias = Generator[Statement, Rows, T]


class OutboxStore(Protocol):
    """Where an outbox is kept."""

    dialect: Dialect
    has_own_clock: bool
    """Whether leases and due times go by the database's clock instead of the caller's."""

    async def run(self, plan: Callable[[], Plan[T]], *, writes: bool = True) -> T:
        """Do an operation in a transaction of its own, and commit; it may be done twice if a connection is lost.

        Raises:
            OutboxError: the database failed; nothing was kept, or it is not known.
        """
        ...

    async def wait_for_work(self, seconds: float) -> None:
        """Return after so many seconds, or earlier when there may be something to send."""
        ...

    def watch(self, number: int) -> AbstractAsyncContextManager[Callable[[float], Any]]:
        """Give a coroutine function that waits so many seconds, or less if this instruction changed."""
        ...

    def changed(self, numbers: Sequence[int], *, has_work: bool = False) -> None:
        """Tell waiters of this process that a committed operation changed instructions, or queued some."""
        ...

    async def open(self) -> None:
        """Connect; create or upgrade the schema."""
        ...

    async def close(self) -> None:
        """Disconnect, after the operations that were begun."""
        ...

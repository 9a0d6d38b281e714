"""The outbox: payments that were decided on are kept before they are sent."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, Self

from leadpay.clock import Clock, SystemClock, utc_datetime
from leadpay.enums import (
    ReturnReason,
    ReturnReasonLiteral,
    ReturnRequestReason,
    ReturnRequestReasonLiteral,
    ReturnRequestRejectionReason,
    ReturnRequestRejectionReasonLiteral,
)
from leadpay.errors import ConfigurationError, InstructionStateError, OutboxError
from leadpay.models import Agent, InstantPayment, Party
from leadpay.outbox import content, queries, sending_queries
from leadpay.outbox.content import Digests, NewInstruction
from leadpay.outbox.limits import Guards
from leadpay.outbox.store import (
    UNTIL,
    Instruction,
    InstructionState,
    LogEntry,
    Operation,
    OutboxStats,
    OutboxStore,
    Outcome,
    Plan,
    T,
    Until,
)
from leadpay.storage import foreign

PAGE: Final = 100
"""How many rows are read, or purged, at a time."""

LAST: Final = 2**63 - 1
"""No instruction has so great a number."""

WAIT_POLL: Final = 1.0
"""How often a wait looks by itself, in seconds, beside notifications."""

MAX_ACTOR: Final = 200
"""Longest name of a person, in characters."""


class Outbox:
    """Keeps payment instructions, from the decision to the end: ``async with open_outbox(url) as outbox``.

    Every method that queues takes a ``reference`` of yours, unique in the outbox: the same one again with the same
    content gives the same instruction, so calling again is always safe. With ``connection`` it inserts its row in your
    own transaction: it is queued if and when you commit. See :func:`leadpay.storage.foreign.execute` for the
    connections that can be joined.

    All of them raise InvalidRequestError if the client would, ReferenceReusedError if the reference is known with other
    content, ConfigurationError if the connection cannot be joined, what the connection's driver raises, and OutboxError
    if the outbox's own connection failed.
    """

    def __init__(self, store: OutboxStore, *, guards: Guards | None = None, clock: Clock | None = None) -> None:
        self.store = store
        self.guards = guards or Guards()
        self.clock = clock or SystemClock()
        self._digests: Digests | None = None

    def __repr__(self) -> str:
        return f"Outbox({self.store!r})"

    async def __aenter__(self) -> Self:
        """Open it; create or upgrade the schema."""
        await self.store.open()
        try:
            self._digests = Digests(await self.store.run(queries.namespace, writes=False))
        except BaseException:
            await self.store.close()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close it, after the operations that were begun."""
        self._digests = None
        await self.store.close()

    # Queuing.

    async def send(
        self,
        *,
        reference: str,
        account_number_id: str,
        amount: int,
        creditor: Party,
        creditor_agent: Agent,
        description: str | None = None,
        currency_code: str = "USD",
        priority: int = 0,
        by: str | None = None,
        connection: Any = None,
    ) -> Instruction:
        """Queue a payment.

        Args:
            reference: your own name for this decision, unique in the outbox, at most 200 characters.
            account_number_id: the account number to send from.
            amount: cents, an int; see ``leadpay.cents``.
            creditor: the receiver.
            creditor_agent: the creditor's bank.
            description: the purpose, at most 140 characters.
            currency_code: USD is the only one.
            priority: a higher one is sent earlier; among equals the oldest.
            by: who decided it, for the audit trail and for ``two_people``.
            connection: your own connection, in whose transaction the instruction is queued.
        """
        new = content.send(
            reference=reference,
            account_number_id=account_number_id,
            amount=amount,
            creditor=creditor,
            creditor_agent=creditor_agent,
            description=description,
            currency_code=currency_code,
            priority=priority,
        )
        return await self.add(new, by=by, connection=connection)

    async def return_payment(
        self,
        payment_id: str,
        *,
        reference: str,
        reason: ReturnReason | ReturnReasonLiteral,
        additional_information: str | None = None,
        priority: int = 0,
        by: str | None = None,
        connection: Any = None,
    ) -> Instruction:
        """Queue the return of a payment that was received; see ``send`` and ``lead.instant_payments``."""
        new = content.about_payment(
            "return",
            payment_id,
            reference=reference,
            reason=reason,
            additional_information=additional_information,
            priority=priority,
        )
        return await self.add(new, by=by, connection=connection)

    async def request_return(
        self,
        payment_id: str,
        *,
        reference: str,
        reason: ReturnRequestReason | ReturnRequestReasonLiteral,
        additional_information: str | None = None,
        priority: int = 0,
        by: str | None = None,
        connection: Any = None,
    ) -> Instruction:
        """Queue a request to return a posted outgoing payment; see ``send`` and ``lead.instant_payments``."""
        new = content.about_payment(
            "request_return",
            payment_id,
            reference=reference,
            reason=reason,
            additional_information=additional_information,
            priority=priority,
        )
        return await self.add(new, by=by, connection=connection)

    async def reject_return_request(
        self,
        payment_id: str,
        *,
        reference: str,
        reason: ReturnRequestRejectionReason | ReturnRequestRejectionReasonLiteral,
        additional_information: str | None = None,
        priority: int = 0,
        by: str | None = None,
        connection: Any = None,
    ) -> Instruction:
        """Queue the rejection of a return request; see ``send`` and ``lead.instant_payments``."""
        new = content.about_payment(
            "reject_return_request",
            payment_id,
            reference=reference,
            reason=reason,
            additional_information=additional_information,
            priority=priority,
        )
        return await self.add(new, by=by, connection=connection)

    async def cancel(
        self, payment_id: str, *, reference: str, priority: int = 0, by: str | None = None, connection: Any = None
    ) -> Instruction:
        """Queue the cancellation of a payment that the bank has not submitted yet.

        An instruction that has not left is taken back by :meth:`withdraw`.
        """
        new = content.about_payment("cancel", payment_id, reference=reference, priority=priority)
        return await self.add(new, by=by, connection=connection)

    async def add(self, new: NewInstruction, *, by: str | None = None, connection: Any = None) -> Instruction:
        """Queue what ``leadpay.outbox.content`` has checked."""
        plan = self._adding(new, by)
        if connection is not None:
            return await self._drive(connection, plan())
        instruction = await self.store.run(plan)
        self.store.changed([], has_work=True)
        return instruction

    async def add_all(self, many: Sequence[NewInstruction], *, by: str | None = None) -> list[Instruction]:
        """Queue many in one transaction: all of them, or none if one raises."""
        instructions = await self.store.run(partial(queries.in_one, [self._adding(new, by) for new in many]))
        self.store.changed([], has_work=True)
        return instructions

    async def differences(self, many: Sequence[NewInstruction]) -> dict[str, Sequence[str]]:
        """Say which references are known with other content, and the fields that differ; nothing is queued."""
        return await self.store.run(partial(queries.differences, many, digests=self.digests), writes=False)

    def _adding(self, new: NewInstruction, by: str | None) -> Callable[[], Plan[Instruction]]:
        return partial(
            queries.add,
            new,
            digests=self.digests,
            guards=self.guards,
            by=None if by is None else _actor(by),
            now=self.now(),
        )

    async def _drive(self, connection: Any, plan: Plan[T]) -> T:
        """Execute a plan in the user's transaction."""
        dialect = self.store.dialect
        try:
            statement = next(plan)
            while True:
                sql = queries.spelled(statement.sql, dialect)
                statement = plan.send(await foreign.execute(connection, sql, statement.parameters, dialect=dialect))
        except StopIteration as end:
            result: T = end.value
            return result

    # By hand.

    async def approve(self, reference: str, *, by: str, reason: str | None = None) -> Instruction:
        """Let a held instruction be sent, whatever the limits say.

        With ``two_people`` it must be another person than who queued it. If that is not known, two people must approve.

        Args:
            reference: the instruction's.
            by: who approves, for the audit trail.
            reason: why, for the audit trail.

        Raises:
            InstructionStateError: it is not held, or another person must approve it.
        """
        return await self._by_hand(queries.approve, reference, guards=self.guards, by=_actor(by), reason=reason)

    async def withdraw(self, reference: str, *, by: str, reason: str | None = None) -> Instruction:
        """Take an instruction back before it leaves.

        Raises:
            InstructionStateError: an attempt to send it has begun. A payment may be canceled by :meth:`cancel`.
        """
        return await self._by_hand(queries.withdraw, reference, by=_actor(by), reason=reason)

    async def resolve(
        self,
        reference: str,
        *,
        by: str,
        payment_id: str | None = None,
        nothing_happened: bool = False,
        reason: str | None = None,
    ) -> Instruction:
        """Resolve an instruction in doubt, as a person who has looked at the evidence, or asked the bank.

        Args:
            reference: the instruction's.
            by: who says it, for the audit trail.
            payment_id: the payment that it became; or
            nothing_happened: it surely was not executed, and ends as ``refused``.
            reason: how they know.

        Raises:
            InstructionStateError: it is not in doubt, or is still asked again with its key, or the payment belongs to
                another instruction.
            ConfigurationError: neither a payment nor ``nothing_happened`` was given, or both.
        """
        if (payment_id is None) is not nothing_happened:
            raise ConfigurationError("resolve() takes either payment_id or nothing_happened=True")
        return await self._by_hand(queries.resolve, reference, by=_actor(by), payment_id=payment_id, reason=reason)

    async def _by_hand(self, plan: Callable[..., Plan[Instruction]], reference: str, **given: Any) -> Instruction:
        instruction = await self.store.run(partial(plan, reference, now=self.now(), **given))
        self.store.changed([instruction.number], has_work=True)
        return instruction

    # Reading.

    async def get(self, reference: str) -> Instruction | None:
        """Look one instruction up."""
        return await self.store.run(partial(queries.get, reference), writes=False)

    async def get_all(self, references: Sequence[str]) -> list[Instruction]:
        """Look several instructions up; those that are unknown are left out."""
        plans = [partial(queries.get, reference) for reference in references]
        found = await self.store.run(partial(queries.in_one, plans), writes=False)
        return [one for one in found if one is not None]

    async def history(self, reference: str) -> list[LogEntry]:
        """Read an instruction's audit trail, oldest first; it is never changed."""
        return await self.store.run(partial(queries.history, reference), writes=False)

    async def instructions(
        self,
        *,
        reference: str | None = None,
        state: InstructionState | None = None,
        outcome: Outcome | None = None,
        operation: Operation | None = None,
        payment_id: str | None = None,
        target_payment_id: str | None = None,
        account_number_id: str | None = None,
        amount: int | None = None,
        needs_person: bool | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        before: int | None = None,
        after: int | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Instruction]:
        """Iterate over the instructions in constant memory: newest first, or oldest first with ``after``.

        Args:
            reference: only the one with this reference.
            state: only those in this state.
            outcome: only those with this outcome.
            operation: only those of this kind.
            payment_id: only those that became this payment.
            target_payment_id: only those about this payment.
            account_number_id: only payments from this account number.
            amount: only payments of so many cents.
            needs_person: only those in doubt that wait for a person.
            created_from: only those queued at this time or later.
            created_before: only those queued before.
            before: only numbers below this one.
            after: only numbers above this one, oldest first.
            limit: how many at most.
        """
        wanted = {
            "reference": reference,
            "state": state,
            "outcome": outcome,
            "operation": operation,
            "payment_id": payment_id,
            "target_payment_id": target_payment_id,
            "account_number_id": account_number_id,
            "amount": amount,
            "needs_person": None if needs_person is None else int(needs_person),
            "created_from": None if created_from is None else queries.micro(created_from),
            "created_before": None if created_before is None else queries.micro(created_before),
        }
        at = after if after is not None else LAST if before is None else before
        left = LAST if limit is None else limit
        while left > 0:
            size = min(PAGE, left)
            plan = partial(queries.page, wanted=wanted, before=at, limit=size, oldest_first=after is not None)
            page = await self.store.run(plan, writes=False)
            for instruction in page:
                at = instruction.number
                yield instruction
            left = left - size if len(page) == size else 0

    async def probe(self) -> None:
        """Check that the outbox is open, has its schema and can write; it changes nothing.

        Raises:
            OutboxError: it cannot be used now.
        """
        await self.store.run(queries.probe)

    async def stats(self) -> OutboxStats:
        """Count the instructions."""
        return await self.store.run(partial(queries.stats, now=self.now()), writes=False)

    async def wait(self, reference: str, *, until: Until = "final", timeout: float | None = None) -> Instruction:  # noqa: ASYNC109 - the public name of the argument
        """Wait until an instruction has come so far, or can't any more; look at its ``state`` and ``outcome`` then.

        Args:
            reference: the instruction's.
            until: ``accepted``: the bank has it. ``posted``: funds have left the account. ``arrived``: the counterparty
                has them, or they won't arrive. ``final``: nothing more is expected.
            timeout: seconds; None to wait for ever.

        Raises:
            TimeoutError: it has not come so far in time.
            InstructionStateError: there is no such instruction.
            ConfigurationError: ``until`` is none of these words.
        """
        if until not in UNTIL:
            raise ConfigurationError(f"until: must be one of {', '.join(UNTIL)}")
        async with asyncio.timeout(timeout):
            instruction = await self._existing(reference)
            async with self.store.watch(instruction.number) as changed:
                while not (instruction := await self._existing(reference)).has_reached(until):
                    await changed(WAIT_POLL)
        return instruction

    async def _existing(self, reference: str) -> Instruction:
        found = await self.get(reference)
        if found is None:
            raise InstructionStateError("is not in the outbox", reference=reference)
        return found

    async def purge(self, *, before: datetime) -> int:
        """Delete what was sent, and payments as last seen, of instructions that ended before a time; count them.

        The instructions themselves, their references, payment IDs and audit trails stay.
        """
        total, size = 0, PAGE
        now = utc_datetime(self.clock.now())
        while size == PAGE:
            size = await self.store.run(partial(queries.purge, before=before, limit=PAGE, now=now))
            total += size
        return total

    async def observe(self, payment: InstantPayment, *, connection: Any = None) -> int:
        """Move instructions on by a payment as it is now, and count them; see ``tracking_router``.

        A payment without an instruction is that of the one instruction that is being sent and fits it.

        Args:
            payment: as an event or the bank's response has it.
            connection: in whose transaction to do it; a transaction of its own if left out.
        """
        plan = partial(sending_queries.seen, payment, fingerprint=self.digests.of_payment(payment), now=self.now())
        moved = await (self.store.run(plan) if connection is None else self._drive(connection, plan()))
        self.store.changed(moved)
        return len(moved)

    @property
    def digests(self) -> Digests:
        """What this outbox's keys and digests are made with.

        Raises:
            OutboxError: it is not open.
        """
        if self._digests is None:
            raise OutboxError("the outbox is not open: use 'async with'")
        return self._digests

    def now(self) -> int | None:
        """Give the present time for a statement: None where the database's own clock counts."""
        return None if self.store.has_own_clock else round(self.clock.now() * queries.MICRO)


def _actor(by: str) -> str:
    """Check the name of who did something."""
    if not isinstance(by, str) or not by.strip() or len(by) > MAX_ACTOR or not by.isprintable():
        raise ConfigurationError(f"by: must be a name of 1 to {MAX_ACTOR} printable characters")
    return by.strip()

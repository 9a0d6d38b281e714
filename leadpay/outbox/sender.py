"""Claim instructions that are due, send them, write down what came back, repeat."""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from leadpay.clock import Clock, utc_datetime
from leadpay.errors import ConfigurationError, LeadError, NotFoundError
from leadpay.instrumentation import InstructionEnded, Observer, OutboxMeasured, notify
from leadpay.models import Agent, InstantPayment, Party
from leadpay.outbox import attempts, crashes, evidence
from leadpay.outbox import sending_queries as queries
from leadpay.outbox.attempts import Result
from leadpay.outbox.outbox import Outbox
from leadpay.outbox.store import Claim, Instruction
from leadpay.signals import stop_on_signals

if TYPE_CHECKING:
    from leadpay.client import LeadClient
    from leadpay.client.instant_payments import InstantPayments

logger = logging.getLogger("leadpay.outbox")

KEY_LIFETIME: Final = timedelta(hours=12)
"""How long after its first attempt an instruction is sent again with its key. The bank does not publish how long it
keeps a key; banks and processors that do keep one for a day or longer, and half of that is taken to be sure."""

CONCURRENCY: Final = 16
"""How many instructions one sender works on side by side."""

POLLS: Final = 4
"""How many accepted payments one sender looks at side by side."""

LEASE: Final = 90.0
"""How long an instruction of a sender that died stays with it, in seconds; a living sender prolongs it."""

IDLE: Final = 1.0
"""How often to look for work that is due, in seconds, without a notification."""

SHUTDOWN_TIMEOUT: Final = 20.0
"""How long attempts may go on at a stop, in seconds: less than the 30 that most supervisors wait before SIGKILL."""

RETENTION_DAYS: Final = 90.0
"""How long the content of instructions that ended is kept, in days: as long as the inbox keeps its bodies."""

STORE_BACKOFF: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
"""How long to wait after the store failed once, twice and so on, in seconds."""

_MINUTE: Final = 60.0
_DAY: Final = 86_400.0


class Sender:
    """Sends what an outbox holds: ``await Sender(outbox, lead).run()``, or while ``async with`` lasts.

    Any number of them may share an outbox, in any processes on any machines. Each attempt is one request, with the
    instruction's one key; see ``leadpay.outbox``.

    Args:
        outbox: an open outbox.
        lead: a LeadClient.
        concurrency: how many instructions are worked on side by side.
        max_per_second: most attempts a second; there is no limit if left out.
        key_lifetime: how long after its first attempt an instruction is sent again with its key.
        lease: how long an instruction of a sender that died stays with it, in seconds.
        idle: how often to look for work that is due, in seconds, without a notification.
        shutdown_timeout: how long attempts may go on at a stop, in seconds, before they are cancelled.
        retention_days: for how many days the content of instructions that ended is kept; None for ever.
        clock: tells the time; the outbox's if left out.
        rng: spreads what many senders do.
        observer: a function that is told how each attempt ended, and each minute how much waits.

    Raises:
        ConfigurationError: a number is not positive.
    """

    def __init__(
        self,
        outbox: Outbox,
        lead: "LeadClient",
        *,
        concurrency: int = CONCURRENCY,
        max_per_second: float | None = None,
        key_lifetime: timedelta = KEY_LIFETIME,
        lease: float = LEASE,
        idle: float = IDLE,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
        retention_days: float | None = RETENTION_DAYS,
        clock: Clock | None = None,
        rng: Random | None = None,
        observer: Observer | None = None,
    ) -> None:
        positive = (concurrency, lease, idle, 1 if max_per_second is None else max_per_second)
        if min(*positive, 1 if retention_days is None else retention_days) <= 0 or key_lifetime <= timedelta():
            raise ConfigurationError("a sender's numbers must be positive")
        if shutdown_timeout < 0:
            raise ConfigurationError("shutdown_timeout must not be negative")
        self.outbox = outbox
        self._payments: InstantPayments = lead.instant_payments.single_attempt()
        self._concurrency = concurrency
        self._interval = 0.0 if max_per_second is None else 1 / max_per_second
        self._lifetime = key_lifetime
        self._lease = lease
        self._idle = idle
        self._shutdown_timeout = shutdown_timeout
        self._retention_days = retention_days
        self._clock = clock or outbox.clock
        self._rng = rng or Random()  # noqa: S311 - spreads work, guards nothing
        self._observer = observer
        self._running: dict[asyncio.Task[None], Claim] = {}
        self._slot_free = asyncio.Event()
        self._next_start = 0.0
        self._stopping = False
        self._pause: asyncio.Future[Any] | None = None
        self._claiming: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Send until SIGTERM or SIGINT, or until this is cancelled; then stop as at the end of ``async with``."""
        with stop_on_signals() as stop:
            async with self:
                await stop.wait()

    async def run_due(self) -> int:
        """Work until nothing is due any more, without waiting for what is due later: for scripts and tests.

        Returns:
            How many instructions were worked on.

        Raises:
            Exception: the store failed.
        """
        count = 0
        while claims := (await self._claim(self._concurrency, POLLS))[0]:
            await asyncio.gather(*(self._work(claim) for claim in claims))
            count += len(claims)
        return count

    @property
    def is_running(self) -> bool:
        """Whether it was entered, and still claims."""
        return self._claiming is not None and not self._claiming.done()

    async def __aenter__(self) -> Self:
        """Start sending."""
        self._stopping = False
        self._background = [asyncio.create_task(self._prolong()), asyncio.create_task(self._maintain())]
        self._claiming = asyncio.create_task(self._claim_loop())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop claiming, finish what was begun, and cancel what takes longer than ``shutdown_timeout``."""
        self._stopping = True
        if self._pause is not None:
            self._pause.cancel()
        claiming = self._claiming
        try:
            if claiming is not None:
                await asyncio.wait([claiming])
            await self._finish_running()
        finally:
            await _cancel([*([claiming] if claiming else []), *self._running, *self._background])

    # Claiming.

    async def _claim_loop(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                await self._claim_once()
            except Exception as error:  # noqa: BLE001 - any failure of a store may be over soon
                logger.error("the outbox cannot be worked on: %s", attempts.describe(error))  # noqa: TRY400 - its message may quote a row
                failures += 1
                await self._wait(self._clock.sleep(STORE_BACKOFF[min(failures, len(STORE_BACKOFF)) - 1]))
            else:
                failures = 0

    async def _claim_once(self) -> None:
        """Fill the free slots, and wait if there is nothing more to do."""
        polls = sum(claim.task == "poll" for claim in self._running.values())
        free, free_polls = self._concurrency - (len(self._running) - polls), POLLS - polls
        wait = self._next_start - self._clock.monotonic() if self._interval else 0.0
        if wait > 0:
            await self._wait(self._clock.sleep(wait))
            return
        limit = min(free, 1) if self._interval else free
        claims, pause = await self._claim(limit, free_polls)
        for claim in claims:
            self._start(claim)
        if self._stopping:
            return
        if pause:
            await self._wait(self._clock.sleep(min(pause, self._idle) * (1 + self._rng.random() / 10)))
        elif len(claims) < limit:
            await self._wait(self.outbox.store.wait_for_work(self._idle))
        elif len(self._running) >= self._concurrency:
            self._slot_free.clear()
            await self._wait(self._slot_free.wait())

    async def _claim(self, limit: int, polls: int) -> tuple[list[Claim], float]:
        claimed_at = self._clock.monotonic()
        claims, pause = await self.outbox.store.run(
            partial(
                queries.claim,
                limit=limit,
                polls=polls,
                lease=self._lease,
                lifetime=self._lifetime.total_seconds(),
                now=self.outbox.now(),
            )
        )
        if self._interval and any(claim.task != "poll" for claim in claims):
            self._next_start = self._clock.monotonic() + self._interval
        return [attrs.evolve(claim, claimed_at=claimed_at) for claim in claims], pause

    def _start(self, claim: Claim) -> None:
        task = asyncio.create_task(self._work(claim))
        self._running[task] = claim
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._slot_free.set()

    async def _wait(self, until: Awaitable[Any]) -> None:
        """Wait for something, or for the stop."""
        self._pause = asyncio.ensure_future(until)
        if self._stopping:
            self._pause.cancel()
        await asyncio.wait([self._pause])
        if not self._pause.cancelled():
            self._pause.result()

    # One claim.

    async def _work(self, claim: Claim) -> None:
        """Work on one instruction; all errors are logged here and go no further."""
        reference = claim.instruction.reference
        try:
            if claim.task == "poll":
                await self._poll(claim)
            elif claim.task == "evidence":
                await self._look_for_evidence(claim)
            else:
                await self._attempt(claim)
        except Exception as error:  # noqa: BLE001 - the lease runs out by itself, and the attempt is written down
            logger.error("%s is left for later: %s", reference, attempts.describe(error))  # noqa: TRY400 - its message may quote a row

    async def _attempt(self, claim: Claim) -> None:
        """Make one attempt, which is written down already, and write down how it ended."""
        instruction = claim.instruction
        resuming = claim.task == "resend"
        if not await self._holds(claim):
            logger.warning("%s went to another sender before its attempt began", instruction.reference)
            return
        crashes.reach("between attempt and request")
        try:
            result = attempts.accepted(await self._call(instruction, resuming=resuming), instruction.content)
        except Exception as error:  # noqa: BLE001 - whatever it was, the attempt has begun
            result = attempts.failed(error, attempts=instruction.attempts, resuming=resuming)
        except asyncio.CancelledError:
            await asyncio.shield(self._finish(claim, attempts.interrupted()))
            raise
        crashes.reach("between answer and commit")
        await self._finish(claim, result)

    async def _holds(self, claim: Claim) -> bool:
        """Prolong the lease if half of it is over: the process may have been paused since it claimed."""
        if self._clock.monotonic() - claim.claimed_at < self._lease / 2:
            return True
        held = await self.outbox.store.run(partial(queries.prolong, [claim], lease=self._lease, now=self.outbox.now()))
        return bool(held)

    async def _call(self, instruction: Instruction, *, resuming: bool) -> InstantPayment:
        content = instruction.content
        if content is None:
            raise ConfigurationError("the instruction's content was erased")
        options: dict[str, Any] = {"idempotency_key": instruction.idempotency_key, "resuming": resuming}
        if instruction.operation == "send":
            return await self._payments.send(
                account_number_id=content["account_number_id"],
                amount=content["amount"],
                creditor=Party(**content["creditor"]),
                creditor_agent=Agent(**content["creditor_agent"]),
                description=content.get("description"),
                **options,
            )
        target = instruction.target_payment_id or ""
        if instruction.operation == "cancel":
            return await self._payments.cancel(target, **options)
        call: Any = {
            "return": self._payments.return_payment,
            "request_return": self._payments.request_return,
            "reject_return_request": self._payments.reject_return_request,
        }[instruction.operation]
        payment: InstantPayment = await call(target, **content, **options)
        return payment

    async def _look_for_evidence(self, claim: Claim) -> None:
        """Look for the payment that an instruction became: its key may not be sent any more."""
        instruction, digests = claim.instruction, self.outbox.digests
        try:
            listed = await self._candidates(instruction)
        except LeadError as error:
            await self._finish(claim, attempts.read_failed(error, attempts=instruction.attempts))
            return
        found = evidence.fitting(instruction, listed, digests, self._lifetime)
        claimed, rivals = await self.outbox.store.run(
            partial(queries.claimants, instruction, [payment.id for payment in found])
        )
        looked_at = utc_datetime(self._clock.now())
        shown = evidence.shown(found, claimed, rivals, looked_at=looked_at)
        payment = evidence.decide(instruction, found, claimed, rivals)
        if payment is not None:
            await self._finish(claim, attempts.accepted(payment), shown=shown)
            return
        reason = f"{len(found)} payments at the bank fit, {rivals} other instructions may have become them"
        unclear = Result(kind="in_doubt", reason=reason, detail=reason, pause=attempts.LOOK_AGAIN)
        await self._finish(claim, unclear, shown=shown, needs_person=True)

    async def _candidates(self, instruction: Instruction) -> Sequence[InstantPayment]:
        if instruction.operation == "send":
            start, end = evidence.window(instruction, self._lifetime)
            pager = self._payments.list(
                account_number_id=instruction.account_number_id,
                direction="outgoing",
                created_on_or_after=start,
                created_on_or_before=end,
                limit=100,
            )
            return [payment async for payment in pager]
        try:
            target = await self._payments.retrieve(instruction.target_payment_id or "")
        except NotFoundError:
            return []
        if instruction.operation != "return":
            return [target]
        return [await self._payments.retrieve(one) for one in target.return_payment_ids]

    async def _finish(self, claim: Claim, result: Result, *, shown: Any = None, needs_person: bool = False) -> None:
        instruction = claim.instruction
        held = await self.outbox.store.run(
            partial(queries.finish, claim, result, evidence=shown, needs_person=needs_person, now=self.outbox.now())
        )
        self.outbox.store.changed([instruction.number])
        if not held:
            logger.warning(
                "%s went to another sender, or was resolved; this result was not kept", instruction.reference
            )
            return
        if result.kind == "in_doubt":
            logger.warning("%s is in doubt: %s", instruction.reference, result.reason)
        elif result.kind == "refused":
            logger.error("%s was refused: %s", instruction.reference, result.reason)
        if self._observer is not None:
            notify(
                self._observer,
                InstructionEnded(
                    instruction.reference,
                    instruction.operation,
                    result.kind,
                    None if result.payment is None else result.payment.id,
                    instruction.attempts,
                    needs_person,
                ),
            )

    async def _poll(self, claim: Claim) -> None:
        """Look at an accepted payment, since no webhook may tell."""
        instruction = claim.instruction
        failure = None
        try:
            for payment in await self._look(instruction):
                await self.outbox.observe(payment)
        except LeadError as error:
            failure = attempts.read_failed(error, attempts=1)
            logger.info("%s could not be looked at: %s", instruction.reference, failure.reason)
        now = await self.outbox.get(instruction.reference)
        await self.outbox.store.run(
            partial(
                queries.polled,
                claim,
                is_final=now is None or now.is_final,
                failure=failure,
                now=self.outbox.now(),
            )
        )

    async def _look(self, instruction: Instruction) -> Sequence[InstantPayment]:
        """Read the payment and, where money may have come back, the payments that return it."""
        payment = await self._payments.retrieve(instruction.payment_id or "")
        if instruction.operation not in {"send", "request_return"}:
            return [payment]
        return [payment, *[await self._payments.retrieve(one) for one in payment.return_payment_ids]]

    # In the background.

    async def _finish_running(self) -> None:
        """Wait for what is being sent, for as long as ``shutdown_timeout``."""
        timer = asyncio.ensure_future(self._clock.sleep(self._shutdown_timeout))
        while self._running and not timer.done():
            await asyncio.wait([timer, *self._running], return_when=asyncio.FIRST_COMPLETED)
        await _cancel([timer])

    async def _prolong(self) -> None:
        """Prolong the leases of what takes long; an attempt whose lease is lost is cancelled at once."""
        while True:
            await self._clock.sleep(self._lease / 3)
            running = dict(self._running)
            try:
                held = await self.outbox.store.run(
                    partial(queries.prolong, list(running.values()), lease=self._lease, now=self.outbox.now())
                )
            except Exception as error:  # noqa: BLE001 - the next time may work, and a fencing token guards the rest
                logger.error("leases were not prolonged: %s", attempts.describe(error))  # noqa: TRY400 - its message may quote a row
                continue
            for task, claim in running.items():
                if claim.instruction.number not in held:
                    task.cancel()

    async def _maintain(self) -> None:
        """Purge once a day, and tell the observer once a minute what waits."""
        purge_at = 0.0
        while True:
            now = self._clock.now()
            try:
                if self._retention_days is not None and now >= purge_at:
                    count = await self.outbox.purge(before=utc_datetime(now) - timedelta(days=self._retention_days))
                    logger.info("purged the content of %d instructions", count)
                    purge_at = now + _DAY
                if self._observer is not None:
                    stats = await self.outbox.stats()
                    age = None if stats.oldest_queued is None else now - stats.oldest_queued.timestamp()
                    notify(self._observer, OutboxMeasured(dict(stats.by_state), stats.needs_person, age))
            except Exception as error:  # noqa: BLE001 - the next time may work
                logger.error("the outbox could not be purged or measured: %s", attempts.describe(error))  # noqa: TRY400 - as above
            await self._clock.sleep(_MINUTE)


async def _cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

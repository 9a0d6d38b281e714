"""Examine handlers: deliver what the bank may deliver, in every order, and see whether the end is the same.

Each payment's events are delivered once, and then twice, in the opposite order, with a newer object than their type,
with unknown words, and with a crash between a handler's effect and its commit. The store is thrown away. What handlers
have done is what ``observe`` returns, and every table of the throw-away database; the end of each run must equal the
plain run's.
"""

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import attrs

from leadpay.clock import SystemClock
from leadpay.converter import encode
from leadpay.errors import ConfigurationError, RouterError
from leadpay.exam.lives import NAMES, START, Life, make_life
from leadpay.exam.observed import Effects, describe_difference, effects
from leadpay.exam.probe import ExamDispatcher, InjectedError, Run
from leadpay.inbox import Inbox
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.inbox.worker import Worker
from leadpay.storage import Dialect
from leadpay.storage.foreign import execute
from leadpay.webhooks.event import parse
from leadpay.webhooks.router import WebhookRouter

BLOCKING_SECONDS: Final = 0.1
"""From when on a handler blocks the event loop: other payments of the process wait for it."""

MAX_WAITS: Final = 6
"""How many of a handler's waits are made to fail, one after the other."""

_CONFIRMING_RUNS: Final = 6
"""In how many runs a handler must have blocked the event loop."""

_JUMPS: Final = 8
"""How often the clock is moved on for handlers that wait, before they count as never ending."""

_JUMP_SECONDS: Final = 86_400.0

FindingKind: TypeAlias = Literal[
    "fails",
    "not_idempotent",
    "depends_on_the_order",
    "takes_the_object_for_a_snapshot",
    "misreads_unknown_words",
    "blocks_the_loop",
    "swallows_errors",
    "leaves_work_behind",
    "takes_no_part",
    "is_not_repeatable",
]
"""What is wrong with a handler."""


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that is wrong, with the sequence that shows it."""

    handlers: tuple[str, ...]
    """The handlers that took part."""
    kind: FindingKind
    sequence: tuple[str, ...]
    """What was delivered, in order."""
    detail: str

    def __str__(self) -> str:
        return f"{', '.join(self.handlers)}: {self.kind}: {self.detail} ({'; '.join(self.sequence)})"


@attrs.frozen(kw_only=True)
class ExamReport:
    """The result of an exam."""

    handlers: tuple[str, ...]
    """The handlers that ran."""
    runs: int
    """How many sequences were delivered."""
    findings: tuple[Finding, ...]

    def raise_for_findings(self) -> None:
        """Raise if anything is wrong.

        Raises:
            RouterError: with every finding.
        """
        if self.findings:
            raise RouterError("\n".join(map(str, self.findings)))


async def examine(
    router: WebhookRouter,
    *,
    observe: Callable[[], Any] | None = None,
    inbox: Inbox | None = None,
    client: Any = None,
    blocking_seconds: float = BLOCKING_SECONDS,
    timer: Callable[[], float] = time.perf_counter,
) -> ExamReport:
    """Examine a router's handlers.

    Args:
        router: the handlers; their lifespans are entered.
        observe: returns what handlers have done outside of the database: numbers, texts, mappings, sequences.
        inbox: an open inbox to throw away, with your tables and without events; SQLite in memory if left out.
        client: what ``context.client`` is; if left out, ``context.refresh()`` gives the payment of the run, and
            other calls raise.
        blocking_seconds: how long a handler may keep the event loop.
        timer: tells the time in seconds.

    Returns:
        What is wrong.

    Raises:
        ConfigurationError: the inbox holds events: the exam would disturb them.
    """
    async with AsyncExitStack() as stack:
        store = inbox if inbox is not None else await stack.enter_async_context(SqliteInbox(":memory:"))
        if (await store.stats()).by_state:
            raise ConfigurationError("the inbox of an exam must be empty")
        exam = _Exam(router, observe or (lambda: None), store, client, timer)
        await stack.enter_async_context(exam.dispatcher)
        stack.enter_context(_without_logs())
        for name in NAMES:
            for fields in _fields(router):
                await exam.examine_life(partial(make_life, name, uuid.uuid4, fields), blocking_seconds)
    return exam.report()


@contextmanager
def _without_logs() -> Iterator[None]:
    """Log nothing: the exam provokes hundreds of failures, and reports those that matter."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)


def _fields(router: WebhookRouter) -> list[Mapping[str, str]]:
    """List the values of the payment that filters ask for, so that each handler is reached."""
    found: list[Mapping[str, str]] = [{}]
    for route in router.routes():
        for name in ("account_id", "account_number_id"):
            found += [{name: value} for value in sorted(route.filters.get(name, ())) if {name: value} not in found]
    return found


class _CrashError(Exception):
    """The process ends between a handler's effect and its commit."""


class _ExamInbox:
    """An inbox that fails to commit one handler's run once."""

    def __init__(self, inbox: Inbox, crashing: set[tuple[str, str]], runs: Sequence[Run]) -> None:
        self._inbox = inbox
        self._crashing = crashing
        self._runs = runs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inbox, name)

    @asynccontextmanager
    async def transaction(self, *arguments: Any, **named: Any) -> AsyncIterator[Any]:
        """Give a handler's transaction."""
        async with self._inbox.transaction(*arguments, **named) as transaction:
            yield _ExamTransaction(transaction, self._crashing, self._runs)


class _ExamTransaction:
    def __init__(self, transaction: Any, crashing: set[tuple[str, str]], runs: Sequence[Run]) -> None:
        self._transaction = transaction
        self._crashing = crashing
        self._runs = runs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)

    async def commit(self, event_id: str, run: Any, **named: Any) -> Any:
        """Commit, or crash."""
        # The run that has just ended is the one that is committed: one handler runs at a time.
        key = (event_id, self._runs[-1].handler)
        if key in self._crashing:
            self._crashing.remove(key)
            raise _CrashError
        return await self._transaction.commit(event_id, run, **named)


class _ExamClient:
    """A client that knows one payment, and makes no calls."""

    def __init__(self) -> None:
        self.payment: Any = None

    @property
    def instant_payments(self) -> "_ExamClient":
        """Itself."""
        return self

    async def retrieve(self, _: str) -> Any:
        """Give the payment as it is at the end."""
        return self.payment

    def __getattr__(self, name: str) -> Any:
        raise ConfigurationError(f"the exam has no bank: {name} needs client=")


class _ExamClock(SystemClock):
    """A clock that is moved on from wait to wait."""

    def __init__(self) -> None:
        self.time = (START + timedelta(days=1)).timestamp()

    def now(self) -> float:
        return self.time


@attrs.define
class _Result:
    """What one run of a life gave."""

    runs: list[Run]
    effects: Effects
    unfinished: int


class _Exam:
    """One router, and what was found."""

    def __init__(
        self,
        router: WebhookRouter,
        observe: Callable[[], Any],
        store: Inbox,
        client: Any,
        timer: Callable[[], float],
    ) -> None:
        self.dispatcher = ExamDispatcher(router, timer=timer)
        self._observe = observe
        self._store = store
        self._client = client
        self._own_client = _ExamClient()
        self._clock = _ExamClock()
        self._findings: dict[tuple[tuple[str, ...], str], Finding] = {}
        self._took_part: dict[str, None] = {}
        self._runs = 0

    def report(self) -> ExamReport:
        """Give the result, with the handlers that never ran."""
        for route in self.dispatcher.router.routes():
            if route.name not in self._took_part and not route.is_fallback:
                events = " ".join(route.patterns)
                self._find((route.name,), "takes_no_part", (events,), "no event of the exam reached it")
        return ExamReport(handlers=tuple(self._took_part), runs=self._runs, findings=tuple(self._findings.values()))

    async def examine_life(self, make: Callable[[], Life], blocking_seconds: float) -> None:
        """Deliver a life in every way."""
        life = make()
        plain = await self._deliver(life)
        handlers = tuple(dict.fromkeys(run.handler for run in plain.runs))
        if not handlers:
            return
        self._took_part |= dict.fromkeys(handlers)
        sequence = self._sequence(life)
        again = await self._deliver(make())
        await self._check_time([plain, again], handlers, make, blocking_seconds)
        if self._check_plain(plain, sequence):
            return
        if plain.effects != again.effects:
            difference = describe_difference(plain.effects, again.effects)
            self._find(handlers, "is_not_repeatable", (*sequence, "twice over"), f"two plain runs differ: {difference}")
            return
        await self._compare(plain, handlers, make)
        await self._crash(plain, handlers, make)
        await self._fail_waits(plain, make)

    async def _check_time(
        self, results: list[_Result], handlers: tuple[str, ...], make: Callable[[], Life], blocking_seconds: float
    ) -> None:
        """Look for handlers that block the event loop, in several runs: the machine may have been busy in one."""
        for handler in handlers:
            while (fastest := _fastest(results, handler)) >= blocking_seconds and len(results) < _CONFIRMING_RUNS:
                results.append(await self._deliver(make()))
            if fastest >= blocking_seconds:
                text = f"it kept the event loop for {fastest:.1f} seconds"
                self._find((handler,), "blocks_the_loop", self._sequence(make()), text)

    def _check_plain(self, plain: _Result, sequence: tuple[str, ...]) -> bool:
        """Look at how handlers ended, and say whether one failed."""
        failed = False
        for run in plain.runs:
            if run.left_behind:
                text = f"{run.left_behind} tasks still ran when it returned"
                self._find((run.handler,), "leaves_work_behind", (run.event_type,), text)
        for handler in {run.handler for run in plain.runs}:
            last = [run for run in plain.runs if run.handler == handler][-1]
            if last.status in ("failed", "deferred"):
                text = f"it is never done: {_reason(last)}"
                self._find((handler,), "fails", sequence, text)
                failed = True
        return failed

    async def _compare(self, plain: _Result, handlers: tuple[str, ...], make: Callable[[], Life]) -> None:
        """Deliver the life twice, backwards, with newer objects, with unknown words: the end must be the same."""
        life = make()
        twice = attrs.evolve(life, events=[event for event in life.events for _ in range(2)])
        ways: list[tuple[Life, FindingKind, str]] = [(twice, "not_idempotent", "each twice")]
        if len(life.events) > 1:
            life = make()
            backwards = attrs.evolve(life, events=life.events[::-1])
            ways.append((backwards, "depends_on_the_order", "the last first"))
            ways.append((make().newer(), "takes_the_object_for_a_snapshot", "each with the newest object"))
        if life.has_open_status:
            ways.append((make().unknown_status(), "misreads_unknown_words", "with an unknown counterparty status"))
        for changed, kind, how in ways:
            result = await self._deliver(changed)
            sequence = (*self._sequence(changed), how)
            failed = [run for run in result.runs if run.status == "failed"]
            if result.unfinished and failed:
                self._find((failed[-1].handler,), kind, sequence, f"it fails: {_reason(failed[-1])}")
            elif result.effects != plain.effects:
                difference = describe_difference(plain.effects, result.effects)
                self._find(handlers, kind, sequence, f"compared with the plain run: {difference}")
        unknown = make().unknown_everywhere()
        last = {(run.handler, run.event_id): run for run in (await self._deliver(unknown)).runs}
        for run in last.values():
            if run.status == "failed":
                sequence = (run.event_type, "with unknown words")
                self._find((run.handler,), "misreads_unknown_words", sequence, f"it fails: {_reason(run)}")

    async def _crash(self, plain: _Result, handlers: tuple[str, ...], make: Callable[[], Life]) -> None:
        """Let each handler run twice because its first commit was lost."""
        for handler in handlers:
            life = make()
            result = await self._deliver(life, crashing={(event["id"], handler) for event in life.events})
            if result.effects != plain.effects:
                difference = describe_difference(plain.effects, result.effects)
                sequence = (*self._sequence(life), "each crashes before its commit, and runs again")
                self._find((handler,), "not_idempotent", sequence, f"compared with the plain run: {difference}")

    async def _fail_waits(self, plain: _Result, make: Callable[[], Life]) -> None:
        """Let each wait of each handler fail once: a handler that succeeds all the same has hidden it."""
        seen = {(run.handler, run.event_type): run.steps for run in plain.runs}
        for (handler, event_type), steps in seen.items():
            for number in range(1, min(steps, MAX_WAITS) + 1):
                for error in (InjectedError(), asyncio.CancelledError()):
                    self.dispatcher.fail = (handler, event_type, number, error)
                    result = await self._deliver(make(), looks=False)
                    hit = [run for run in result.runs if run.injected and run.status in ("succeeded", "discarded")]
                    if hit:
                        name = "a cancellation" if isinstance(error, asyncio.CancelledError) else "an error"
                        text = f"wait number {number} raised {name}, and it {hit[0].status} all the same"
                        self._find((handler,), "swallows_errors", (event_type,), text)
        self.dispatcher.fail = None

    async def _deliver(
        self, life: Life, crashing: set[tuple[str, str]] | None = None, *, looks: bool = True
    ) -> _Result:
        """Deliver events one at a time, and work after each until nothing waits."""
        self._runs += 1
        self.dispatcher.runs = []
        inbox: Any = _ExamInbox(self._store, crashing or set(), self.dispatcher.runs)
        client = self._client or self._own_client
        worker = Worker(inbox, self.dispatcher, client=client, concurrency=1, clock=self._clock)
        events = [(parse(body), body) for body in map(encode, life.events)]
        self._own_client.payment = max(events, key=lambda one: one[0].created_at)[0].object
        before = await self._look() if looks else None
        for event, body in events:
            await self._store.add(event, body, received_at=datetime.fromtimestamp(self._clock.now(), UTC))
            await self._work(worker)
        unfinished = 0
        for event, _ in events:
            kept = await self._store.get(event.id)
            if kept is not None and kept.state in ("waiting", "dead"):
                unfinished += 1
                await self._store.discard(event.id, reason="the run is over", now=self._clock.now())
        found = effects(before, await self._look(), life.ids) if looks else Counter[str]()
        return _Result(runs=self.dispatcher.runs, effects=found, unfinished=unfinished)

    async def _look(self) -> dict[str, Any]:
        return {"observed": self._observe(), "tables": await _tables(self._store)}

    async def _work(self, worker: Worker) -> None:
        for _ in range(_JUMPS):
            await worker.run_due()
            if not (await self._store.stats()).by_state.get("waiting"):
                return
            self._clock.time += _JUMP_SECONDS

    def _sequence(self, life: Life) -> tuple[str, ...]:
        return (f"{life.name}:", *(event["event"] for event in life.events))

    def _find(self, handlers: tuple[str, ...], kind: FindingKind, sequence: tuple[str, ...], detail: str) -> None:
        """Remember the first of its kind for these handlers."""
        finding = Finding(handlers=handlers, kind=kind, sequence=sequence, detail=detail)
        self._findings.setdefault((handlers, kind), finding)


_TABLES: Final[Mapping[Dialect, str]] = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgres": "SELECT tablename FROM pg_tables WHERE schemaname = ANY (current_schemas(false))",
}


async def _tables(store: Inbox) -> dict[str, list[tuple[Any, ...]]]:
    """Read every row of every table that is not leadpay's."""
    dialect: Dialect = "sqlite" if isinstance(store, SqliteInbox) else "postgres"
    async with store.begin() as connection:
        names = [name for (name,) in await execute(connection, _TABLES[dialect], {}, dialect=dialect)]
        return {
            name: await execute(connection, f'SELECT * FROM "{name}"', {}, dialect=dialect)  # noqa: S608 - a name that the database gave
            for name in names
            if not name.startswith(("leadpay_", "sqlite_"))
        }


def _fastest(results: Sequence[_Result], handler: str) -> float:
    """Give the longest step of the run in which it was shortest."""
    return min(max((run.longest for run in one.runs if run.handler == handler), default=0.0) for one in results)


def _reason(run: Run) -> str:
    """Say what a handler raised: the data are the exam's own, so the message may be shown."""
    return f"{type(run.error).__name__}: {run.error}"

"""Run one handler step by step: how long each step takes, and what happens if what it awaits fails."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import attrs

from leadpay.models import Event
from leadpay.webhooks.dispatcher import Dispatcher, HandlerResult, LazyContext
from leadpay.webhooks.route import Route


class InjectedError(ConnectionError):
    """What an exam raises where a handler waits for something: it may or may not have happened."""

    def __init__(self) -> None:
        super().__init__("the exam made this fail")


@attrs.define
class Run:
    """One attempt of one handler."""

    handler: str
    event_id: str
    event_type: str
    steps: int = 0
    """How many times it waited for something."""
    longest: float = 0.0
    """How long it kept the event loop at most, in seconds."""
    injected: bool = False
    status: str = ""
    error: BaseException | None = None
    left_behind: int = 0
    """How many tasks it started and did not wait for."""


class Steps:
    """Awaits a coroutine, and looks at each of its steps.

    Args:
        work: the handler's coroutine.
        run: what is recorded.
        timer: tells the time in seconds.
        fail_at: the number of the wait that fails, counted from 1; 0 for none.
        error: what it raises then.
    """

    def __init__(
        self, work: Coroutine[Any, Any, Any], run: Run, timer: Callable[[], float], fail_at: int, error: BaseException
    ) -> None:
        self._work = work
        self._run = run
        self._timer = timer
        self._fail_at = fail_at
        self._error = error

    def __await__(self) -> Generator[Any, Any, Any]:
        """Pass on what the coroutine waits for, and what comes back."""
        inner = self._work.__await__()
        error: BaseException | None = None
        while True:
            start = self._timer()
            try:
                waits_for = next(inner) if error is None else inner.throw(error)
            except StopIteration as end:
                return end.value
            finally:
                self._run.longest = max(self._run.longest, self._timer() - start)
            error = None
            self._run.steps += 1
            try:
                yield waits_for
            except BaseException as raised:  # noqa: BLE001 - it belongs to the coroutine
                error = raised
            if self._run.steps == self._fail_at:
                # What it waited for is over: it happened, and the response was lost.
                self._run.injected = True
                error = self._error


class ExamDispatcher(Dispatcher):
    """Runs handlers step by step, with few and short retries, and records each run."""

    def __init__(self, router: Any, *, timer: Callable[[], float]) -> None:
        super().__init__(router)
        self.runs: list[Run] = []
        self.fail: tuple[str, str, int, BaseException] | None = None
        """The handler, the type of event, the number of the wait, and what it raises."""
        self._timer = timer

    def select(self, event: Event) -> list[Route]:
        """Select the handlers; they are tried four times, a second apart."""
        return [attrs.evolve(route, retries=(1.0, 1.0, 1.0)) for route in self.router.select(event)]

    async def run(self, route: Route, event: Event, context: LazyContext) -> HandlerResult:
        """Run one handler, and record how."""
        run = Run(route.name, event.id, str(event.type))
        fail_at, error = 0, BaseException()
        if self.fail is not None and self.fail[:2] == (route.name, run.event_type):
            fail_at, error = self.fail[2:]
            self.fail = None
        original = route.handler

        async def handler(*arguments: Any) -> Any:
            work: Any = original(*arguments)
            return await Steps(work, run, self._timer, fail_at, error)

        before = asyncio.all_tasks()
        result = await super().run(attrs.evolve(route, handler=handler), event, context)
        left = {task for task in asyncio.all_tasks() - before if not task.done() and not _is_of_the_store(task)}
        run.left_behind = len(left)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        run.status, run.error = result.status, result.error
        self.runs.append(run)
        return result


def _is_of_the_store(task: "asyncio.Task[Any]") -> bool:
    """Whether a task is leadpay's or its pool's, which start some while a statement waits; not of a user's function."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    module: str = "" if frame is None else frame.f_globals["__name__"]
    # The pool waits for a free connection by a condition of asyncio's.
    return module == "asyncio.locks" or module.partition(".")[0] in {"leadpay", "psycopg", "psycopg_pool"}

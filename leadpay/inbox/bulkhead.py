"""Slots for handlers: one that hangs fills its share of them, and never those of the others."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import attrs

from leadpay.clock import Clock
from leadpay.inbox.breaker import Breaker
from leadpay.instrumentation import HandlerPaused, Observer, notify

logger = logging.getLogger("leadpay.inbox")

QUEUE_SECONDS: Final = 0.25
"""How long a handler run waits for a slot, in seconds, while its payment is claimed. Healthy handlers free theirs much
sooner. If none was freed in this time, runs of this handler are held back without waiting."""

HOLD_BACK_SECONDS: Final = 1.0
"""After how long a handler run that found no slot comes back at the earliest, in seconds."""

HOLD_BACK_SPACING: Final = 0.05
"""How far apart the runs of one handler come back, in seconds: at most 20 a second, however many wait."""


@attrs.define(eq=False)
class _Handler:
    """What is known of one handler."""

    name: str
    breaker: Breaker = attrs.field(factory=Breaker)
    in_use: int = 0
    is_congested: bool = False
    """Whether a run waited for a slot in vain, and none was freed since."""
    last_return: float = 0.0


@attrs.define(eq=False)
class Slot:
    """The right to make one attempt."""

    handler: _Handler
    is_probe: bool
    started: float
    failed: bool | None = None
    """How the attempt ended; None until it has, and if it was cancelled."""


Waiting: TypeAlias = "tuple[_Handler, asyncio.Future[None]]"


class Bulkhead:
    """Gives each handler slots of its own, and lets all share the rest.

    Half of the slots belong to the handlers in equal parts, at least one to each. Whichever handler comes first takes
    the other half.

    Args:
        total: how many slots there are; more if there are more handlers.
        names: gives the names of all handlers.
        clock: what tells the time.
        observer: what is told when a handler is paused.
    """

    def __init__(
        self, total: int, names: Callable[[], Iterable[str]], clock: Clock, observer: Observer | None = None
    ) -> None:
        self.queue_seconds: float | None = QUEUE_SECONDS
        """How long to wait for a slot; None for as long as it takes."""
        self._total = total
        self._names = names
        self._clock = clock
        self._observer = observer
        self._handlers: dict[str, _Handler] = {}
        self._own = self._shared = 0
        self._waiting: deque[Waiting] = deque()

    async def take(self, name: str) -> Slot | float:
        """Take a slot for a handler.

        Returns:
            The slot, which must be given back; or when to try again, in seconds since 1970.
        """
        handler = self._handler(name)
        if not handler.breaker.allows(self._clock.now()):
            return self._return_time(handler)
        if self._has_room(handler):
            handler.in_use += 1
        elif handler.is_congested or not await self._queue(handler):
            return self._return_time(handler)
        if not handler.breaker.allows(self._clock.now()):  # It opened meanwhile.
            self._free(handler)
            return self._return_time(handler)
        return Slot(handler, handler.breaker.begin(), self._clock.monotonic())

    def give_back(self, slot: Slot) -> None:
        """Give a slot back, with how the attempt ended."""
        handler, breaker = slot.handler, slot.handler.breaker
        was_open = breaker.open_until > 0
        seconds = self._clock.monotonic() - slot.started
        pause = breaker.end(is_probe=slot.is_probe, failed=slot.failed, seconds=seconds, now=self._clock.now())
        if pause is not None:
            logger.warning(
                "%s is paused for %.0f seconds, since %d attempts in a row took long and failed; its events wait",
                handler.name,
                pause,
                breaker.failures,
            )
            if self._observer is not None:
                notify(self._observer, HandlerPaused(handler.name, breaker.failures, pause))
        elif was_open and breaker.open_until == 0:
            logger.info("%s works again", handler.name)
        self._free(handler)

    def _handler(self, name: str) -> _Handler:
        if name not in self._handlers:
            for one in (name, *self._names()):
                self._handlers.setdefault(one, _Handler(one))
            count = len(self._handlers)
            self._own = max(1, self._total // (2 * count))
            self._shared = max(0, self._total - count * self._own)
        return self._handlers[name]

    def _has_room(self, handler: _Handler) -> bool:
        if handler.in_use < self._own:
            return True
        return sum(max(0, one.in_use - self._own) for one in self._handlers.values()) < self._shared

    async def _queue(self, handler: _Handler) -> bool:
        """Wait for a slot, and say whether one was granted."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((handler, granted))
        try:
            await asyncio.wait([granted], timeout=self.queue_seconds)
        except asyncio.CancelledError:
            if granted.done():
                self._free(handler)
            raise
        finally:
            is_granted = not granted.cancel()
        handler.is_congested = not is_granted
        return is_granted

    def _free(self, handler: _Handler) -> None:
        """Free one of a handler's slots, and grant what can be granted, first come, first served."""
        handler.in_use -= 1
        handler.is_congested = False
        still_waiting: deque[Waiting] = deque()
        for one, granted in self._waiting:
            if granted.done():
                continue
            if self._has_room(one):
                one.in_use += 1
                granted.set_result(None)
            else:
                still_waiting.append((one, granted))
        self._waiting = still_waiting

    def _return_time(self, handler: _Handler) -> float:
        earliest = max(self._clock.now() + HOLD_BACK_SECONDS, handler.breaker.open_until)
        handler.last_return = max(earliest, handler.last_return + HOLD_BACK_SPACING)
        return handler.last_return

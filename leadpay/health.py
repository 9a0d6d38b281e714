"""Whether a program is alive and ready: for ``/healthz`` and ``/readyz``, and for a page."""

import asyncio
from typing import Final, Protocol

import attrs

from leadpay.clock import Clock, SystemClock

CACHE_SECONDS: Final = 1.0
"""How long a result is kept, in seconds: the store is tried once a second at most, however often strangers ask."""

PROBE_SECONDS: Final = 3.0
"""How long a store may take to respond, in seconds: less than the timeout of most load balancers."""


class Probed(Protocol):
    """An inbox or an outbox, as its health is checked."""

    async def probe(self) -> None:
        """Raise unless it is open, its schema is right, and it can write."""
        ...


class Running(Protocol):
    """A worker or a sender, as its health is checked."""

    @property
    def is_running(self) -> bool:
        """Whether it was started, and goes on."""
        ...


class Entered(Protocol):
    """A receiver, as its health is checked."""

    @property
    def problem(self) -> str | None:
        """Why it could not accept a webhook now; None if it could."""
        ...


@attrs.frozen
class Readiness:
    """The result of all checks."""

    problems: dict[str, str | None]
    """Part -> what is wrong with it, or None. The parts are the names of the arguments of :class:`Health`."""

    @property
    def is_ready(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self.problems.values())

    def __str__(self) -> str:
        """One line a part, without anything private."""
        return "".join(f"{name}: {problem or 'ok'}\n" for name, problem in self.problems.items()) or "ok\n"


class Health:
    """Checks the parts of a program that it is given.

    Args:
        receiver: must be entered; it has its signing secrets, or it could not have been made.
        inbox: must be open and able to write, with the right schema.
        worker: must be running.
        outbox: as the inbox.
        sender: must be running.
        clock: the source of the time.
        probe_seconds: how long a store may take to respond.
    """

    def __init__(
        self,
        *,
        receiver: Entered | None = None,
        inbox: Probed | None = None,
        worker: Running | None = None,
        outbox: Probed | None = None,
        sender: Running | None = None,
        clock: Clock | None = None,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        self._clock = clock or SystemClock()
        self._probe_seconds = probe_seconds
        self._receivers = {} if receiver is None else {"receiver": receiver}
        self._stores = {name: one for name, one in (("inbox", inbox), ("outbox", outbox)) if one is not None}
        self._tasks = {name: one for name, one in (("worker", worker), ("sender", sender)) if one is not None}
        self._latest: Readiness | None = None
        self._checked_at = 0.0
        self._lock = asyncio.Lock()

    def alive(self) -> bool:
        """Whether the process works at all. A blocked event loop doesn't get as far as this."""
        return True

    async def ready(self) -> Readiness:
        """Check every part, at most once a second, whatever calls this and however often."""
        async with self._lock:
            now = self._clock.monotonic()
            if self._latest is None or now - self._checked_at >= CACHE_SECONDS:
                self._latest = Readiness(await self._check())
                self._checked_at = self._clock.monotonic()
            return self._latest

    async def _check(self) -> dict[str, str | None]:
        stores = await asyncio.gather(*(self._probe(store) for store in self._stores.values()))
        return {
            **{name: one.problem for name, one in self._receivers.items()},
            **dict(zip(self._stores, stores, strict=True)),
            **{name: None if one.is_running else "is not running" for name, one in self._tasks.items()},
        }

    async def _probe(self, store: Probed) -> str | None:
        try:
            async with asyncio.timeout(self._probe_seconds):
                await store.probe()
        except Exception as error:  # noqa: BLE001 - whatever a store raises, it is not ready
            return type(error).__name__
        return None

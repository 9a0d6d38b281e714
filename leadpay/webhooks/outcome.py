"""How an event ended, and each of its handlers. Pure."""

from typing import Literal, NamedTuple, TypeAlias

HandlerStatus: TypeAlias = Literal["succeeded", "failed", "deferred", "discarded"]


class HandlerResult(NamedTuple):
    """How one handler of an event ended; how long it took is told to an observer (``leadpay.instrumentation``)."""

    handler: str
    """``module:qualified name``."""
    status: HandlerStatus
    error: BaseException | None = None
    """What it raised; a Defer or a Discard too."""


class Outcome(NamedTuple):
    """How an event ended: one result for each handler that ran, in their order; none if nothing takes the event."""

    results: tuple[HandlerResult, ...]

    @property
    def succeeded(self) -> bool:
        """Whether nothing is left to do: every handler succeeded or discarded the event."""
        return all(result.status in ("succeeded", "discarded") for result in self.results)

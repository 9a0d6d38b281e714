"""What goes wrong on request: frozen specs, counted and seeded, so that a run can be repeated. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import attrs

KINDS: Final[Mapping[str, str]] = {
    "cut_before": "the connection is cut before the request is processed",
    "answer_lost": "the request is processed, and the connection cut without an answer",
    "answer_cut": "the request is processed, and the connection cut after VALUE bytes of the answer's body (10)",
    "slow": "the request is processed, and the answer waits for VALUE seconds (5)",
    "rate_limited": "429 with Retry-After: VALUE seconds (1)",
    "rate_limited_date": "429 with Retry-After: an HTTP date, VALUE seconds from now (1)",
    "server_error": "500, nothing processed",
    "server_error_after": "500 although the request was processed",
    "bad_gateway": "502 with a proxy's HTML page, nothing processed",
    "bad_gateway_after": "502 with a proxy's HTML page although the request was processed",
    "in_progress": "409 as if a request with this key were in progress (keyed operations only)",
    "token_expired": "401: the access token expires early",
    "same_token": "the token endpoint hands the last token out once more, refused or not, with less time left",
    "webhook_first": "the webhooks that a request causes arrive before its answer",
    "webhook_duplicate": "the webhook is sent twice",
    "webhook_delayed": "the webhook waits for VALUE seconds (1)",
    "webhook_reordered": "the webhook is sent after the next one, or after VALUE seconds if none comes (1)",
    "webhook_old_timestamp": "a redelivery carries the time and the signature of the first attempt",
    "unknown_value": "an enum value that nobody knows yet",
    "unknown_field": "fields that nobody knows yet",
    "older_spellings": "the older spellings of reasons and event types",
}
"""Every kind of fault, and what it does; the number in brackets is VALUE unless told."""

DEFAULTS: Final[Mapping[str, float]] = {
    "answer_cut": 10,
    "slow": 5,
    "rate_limited": 1,
    "rate_limited_date": 1,
    "webhook_delayed": 1,
    "webhook_reordered": 1,
}
"""VALUE unless told."""

WEBHOOK: Final = "webhook"
"""What stands in an operation's place for the delivery of a webhook."""

ANY: Final = "*"
"""Every operation."""


@attrs.frozen(kw_only=True)
class Fault:
    """One thing that goes wrong.

    Args:
        kind: one of :data:`leadpay.sandbox.faults.KINDS`.
        operation: an operation's name such as ``send``, ``token`` or ``webhook``; ``*`` for all.
        times: how often; None for ever.
        probability: how likely each time, from 0 to 1.
        value: seconds or bytes; see :data:`leadpay.sandbox.faults.KINDS`.

    Raises:
        ValueError: one of them makes no sense.
    """

    kind: str
    operation: str = ANY
    times: int | None = None
    probability: float = 1.0
    value: float = attrs.field(default=attrs.Factory(lambda self: DEFAULTS.get(self.kind, 0), takes_self=True))

    def __attrs_post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fault: kind must be one of {', '.join(KINDS)}")
        if self.times is not None and self.times < 1:
            raise ValueError("fault: times must be 1 or more")
        if not 0 <= self.probability <= 1 or self.value < 0:
            raise ValueError("fault: probability must be from 0 to 1, and value 0 or more")


class Faults:
    """The faults that are switched on.

    Args:
        chance: a number from 0 to 1, each time another; seeded, so that a run can be repeated.
    """

    __slots__ = ("_chance", "_left", "drawn")

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._left: list[tuple[Fault, int | None]] = []
        self.drawn: dict[str, int] = {}
        """How often each kind has struck."""

    def add(self, fault: Fault | str) -> None:
        """Switch a fault on; see :func:`parse` for the text form.

        Raises:
            ValueError: the text cannot be read.
        """
        found = parse(fault) if isinstance(fault, str) else fault
        self._left.append((found, found.times))

    def clear(self) -> None:
        """Switch every fault off."""
        self._left.clear()

    def draw(self, kinds: Iterable[str], operation: str) -> Fault | None:
        """The first fault of these kinds that strikes now, counted; None if none does."""
        wanted = frozenset(kinds)
        for place, (fault, left) in enumerate(self._left):
            if fault.kind in wanted and fault.operation in {ANY, operation} and self._chance() < fault.probability:
                self._left[place : place + 1] = [] if left == 1 else [(fault, left and left - 1)]
                self.drawn[fault.kind] = self.drawn.get(fault.kind, 0) + 1
                return fault
        return None


def parse(text: str) -> Fault:
    """Read a fault as a command line has it: ``KIND[:OPERATION][:TIMES][:PROBABILITY%][:value=VALUE]``.

    ``answer_lost:send:3`` loses three answers to send; ``slow:10%:value=2`` makes every tenth answer two seconds late.

    Raises:
        ValueError: it cannot be read.
    """
    kind, *parts = text.strip().split(":")
    fault = Fault(kind=kind)
    for part in parts:
        fault = attrs.evolve(fault, **_part(part))
    return fault


def _part(part: str) -> dict[str, Any]:
    if part.isdecimal():
        return {"times": int(part)}
    try:
        if part.endswith("%"):
            return {"probability": float(part[:-1]) / 100}
        if part.startswith("value="):
            return {"value": float(part.removeprefix("value="))}
    except ValueError:
        raise ValueError("fault: PROBABILITY% and value=VALUE need a number") from None
    if part != ANY and not part.replace("_", "").isalpha():
        raise ValueError("fault: must be KIND[:OPERATION][:TIMES][:PROBABILITY%][:value=VALUE]")
    return {"operation": part}


def describe() -> str:
    """Every kind in words, for a README and for ``--help``."""
    return "\n".join(f"  {kind:<23}{summary}" for kind, summary in KINDS.items())

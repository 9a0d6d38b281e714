"""Drift: what the bank sends, and this version of leadpay does not know. Pure.

The converter notes each word, field, missing field and wrong type when it reads. Who called it takes the notes right
after, with nothing awaited in between, and gives them to a Radar, which counts them and remembers where each was first
seen. No note holds personal data: a word or a name of a field that does not look like code is left out.
"""

import logging
import re
import threading
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeAlias

import attrs

from leadpay.clock import Clock, utc_datetime
from leadpay.instrumentation import DriftSeen, Observer, notify

logger = logging.getLogger("leadpay")

DriftKind: TypeAlias = Literal["word", "field", "missing", "type"]
"""A value of an enum, a field, a field that is missing or null, a value of a wrong type."""

MAX_NOTED: Final = 100
"""How many notes of one thread wait until they are taken. After ``structure`` in your own code they never are."""

MAX_TRACKED: Final = 1_000
"""How many different drifts a radar remembers: far more than a bank brings between two versions."""

_CODE: Final = re.compile(r"[\w.:\[\]-]{1,64}", re.ASCII)
_LEFT_OUT: Final = "(not shown)"


class Drift(NamedTuple):
    """One thing that this version does not know."""

    kind: DriftKind
    owner: str
    """The enum or the model, such as ``ReturnReason``."""
    detail: str
    """The word, the field, or the field's path and what is wrong."""

    def __str__(self) -> str:
        return f"{self.kind} {self.owner}: {self.detail}"


class Sighting(NamedTuple):
    """A drift, and the object that was read."""

    drift: Drift
    object_id: str | None


class _Notes(threading.local):
    """What the converter has noted in this thread."""

    def __init__(self) -> None:
        self.fresh: list[Drift] = []
        """Of the object that is being read."""
        self.sightings: list[Sighting] = []
        """Of objects that were read, until they are taken."""


notes: Final = _Notes()


def note(kind: DriftKind, owner: str, detail: str, reason: str = "") -> None:
    """Note a drift of the object that is being read; ``reason`` is our own text about it."""
    if len(notes.fresh) < MAX_NOTED:
        notes.fresh.append(_drift(kind, owner, detail, reason))


@lru_cache(MAX_TRACKED)
def _drift(kind: DriftKind, owner: str, detail: str, reason: str) -> Drift:
    shown = detail if _CODE.fullmatch(detail) else _LEFT_OUT
    return Drift(kind, owner, f"{shown} {reason}".rstrip())


def locate(object_id: str | None) -> None:
    """Say of which object the notes since the last call are."""
    for drift in dict.fromkeys(notes.fresh):
        if len(notes.sightings) < MAX_NOTED:
            notes.sightings.append(Sighting(drift, object_id))
    notes.fresh.clear()


def take() -> list[Sighting]:
    """Take what was noted in this thread since the last call."""
    taken, notes.sightings = notes.sightings, []
    return taken


@attrs.define
class Tracked:
    """What a radar knows of one drift."""

    where: str
    """Where it was first seen: the operation or the webhook, and the object's ID."""
    at: datetime
    """When that was."""
    count: int = 1


class Radar:
    """Counts drifts, and remembers where each was first seen.

    Args:
        observer: is told of each drift, with each object that has it.
    """

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer = observer
        self._tracked: dict[Drift, Tracked] = {}

    @property
    def tracked(self) -> Mapping[Drift, Tracked]:
        """What was seen."""
        return self._tracked

    def look(self, where: str, clock: Clock) -> None:
        """Take what was noted while an object was read; log what is new, and tell the observer."""
        now = utc_datetime(clock.now())
        for drift, object_id in take():
            is_new = self.add(drift, f"{where} {object_id or ''}".rstrip(), now)
            if is_new and drift.kind != "type":  # which is an error already
                logger.warning("drift: the bank sent what this version does not know: %s", drift)
            if self._observer is not None:
                notify(self._observer, DriftSeen(drift.kind, drift.owner, drift.detail, object_id, where))

    def add(self, drift: Drift, where: str, at: datetime) -> bool:
        """Count a drift, and say whether it is new."""
        known = self._tracked.get(drift)
        if known is None:
            if len(self._tracked) < MAX_TRACKED:
                self._tracked[drift] = Tracked(where, at)
                return True
            return False
        known.count += 1
        if at < known.at:
            known.where, known.at = where, at
        return False

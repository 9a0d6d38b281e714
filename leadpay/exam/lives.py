"""The lives of payments that an exam delivers: the events about each, in order, with the object as it was at the time.

Pure: the same events every time, but for the IDs.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import attrs

from leadpay.sandbox import sample
from leadpay.sandbox.constants import EVENT_TYPES

START: Final = datetime.fromisoformat("2026-03-02T15:00:00+00:00")
"""When every life begins."""

UNKNOWN_WORD: Final = "exam_unknown_word"
"""A value that no version of leadpay lists."""

KNOWN_WORD: Final = "under_review"
"""What an unknown counterparty status must be treated as: not final."""

Json = dict[str, Any]


@attrs.frozen(kw_only=True)
class Life:
    """The events of one payment, or one event of another product."""

    name: str
    events: Sequence[Json]

    @property
    def ids(self) -> list[str]:
        """Every ID in it, which differs from run to run, in the order in which they occur."""
        return list(dict.fromkeys(text for event in self.events for text in _ids(event)))

    def newer(self) -> "Life":
        """Each event carries the object as it is at the end: the bank sends the newest version."""
        last = self.events[-1]["object"]
        return attrs.evolve(self, events=[{**event, "object": last} for event in self.events])

    def unknown_status(self) -> "Life":
        """A counterparty status that is not final is an unknown word, and there is an unknown field."""

        def changed(item: Json) -> Json:
            word = UNKNOWN_WORD if item.get("counterparty_status") == KNOWN_WORD else item.get("counterparty_status")
            return {**item, "counterparty_status": word, "exam_unknown_field": UNKNOWN_WORD}

        return attrs.evolve(self, events=[{**event, "object": changed(event["object"])} for event in self.events])

    def unknown_everywhere(self) -> "Life":
        """Each word of the object that is a value of an enum is an unknown word."""
        return attrs.evolve(self, events=[{**one, "object": _unknown(one["object"])} for one in self.events])

    @property
    def has_open_status(self) -> bool:
        """Whether :meth:`unknown_status` changes it."""
        return any(event["object"].get("counterparty_status") == KNOWN_WORD for event in self.events)


def _unknown(item: Json) -> Json:
    found = dict(item)
    for name in ("status", "counterparty_status"):
        if found.get(name) is not None:
            found[name] = UNKNOWN_WORD
    for name in ("rejection", "return"):
        if found.get(name) is not None:
            found[name] = {**found[name], "reason": UNKNOWN_WORD}
    found["return_requests"] = [
        {**one, "reason": UNKNOWN_WORD, "status": UNKNOWN_WORD} for one in found.get("return_requests", ())
    ]
    return found


_REJECTION: Final = {"reason": "account_closed", "rejected_by": "counterparty", "details": None}
_RETURN: Final = {"reason": "honor_return_request"}
_ORIGINAL: Final = {"related_objects": {"original_payment_id": "instant_payment_exam0original"}}
_OPEN: Final[Json] = {"status": "under_review"}
_POSTED: Final[Json] = {"status": "posted"}

_STEPS: Final[Mapping[str, tuple[str, Json, Sequence[tuple[str, Json]]]]] = {
    "an outgoing payment that arrives": (
        "outgoing",
        {},
        [
            ("under_review", _OPEN),
            ("posted", _POSTED),
            ("counterparty_status_updated", {"counterparty_status": KNOWN_WORD}),
            ("counterparty_status_updated", {"counterparty_status": "posted"}),
            ("return_request_status_updated", {"return_requests": "accepted"}),
        ],
    ),
    "an outgoing payment that the other bank rejects after it posted": (
        "outgoing",
        {},
        [
            ("posted", _POSTED),
            ("counterparty_status_updated", {"counterparty_status": KNOWN_WORD}),
            ("counterparty_status_updated", {"counterparty_status": "rejected", "rejection": _REJECTION}),
        ],
    ),
    "an outgoing payment that is rejected": (
        "outgoing",
        {},
        [("under_review", _OPEN), ("rejected", {"status": "rejected", "rejection": _REJECTION})],
    ),
    "an outgoing return": (
        "outgoing",
        {"return": _RETURN, **_ORIGINAL},
        [("posted", _POSTED), ("counterparty_status_updated", {"counterparty_status": "posted"})],
    ),
    "an incoming payment whose return is requested": (
        "incoming",
        {},
        [
            ("under_review", _OPEN),
            ("posted", _POSTED),
            ("return_request_response_needed", {"return_requests": "response_needed"}),
        ],
    ),
    "an incoming payment that is rejected": (
        "incoming",
        {},
        [("rejected", {"status": "rejected", "rejection": {**_REJECTION, "rejected_by": "lead"}})],
    ),
    "an incoming return": ("incoming", {"return": _RETURN, **_ORIGINAL}, [("posted", _POSTED)]),
}
"""Per life: the payment's direction, its fields, and per event what changes."""

NAMES: Final = (*_STEPS, *(name for name in EVENT_TYPES if not name.startswith("instant_payment.")))
"""Every life: those of payments, and one event of each type of the other products."""


def make_life(name: str, new_uuid: Callable[[], UUID], fields: Mapping[str, str] | None = None) -> Life:
    """Make a life with IDs of its own.

    Args:
        name: one of ``NAMES``.
        new_uuid: makes the IDs.
        fields: fields of the payment, such as the account number that a handler filters by.
    """
    now = START.timestamp()
    if name not in _STEPS:
        return Life(name=name, events=[sample(name, now=now, new_uuid=new_uuid)])
    direction, common, steps = _STEPS[name]
    requests = {
        "accepted": sample("return_request_status_updated", now=now, new_uuid=new_uuid),
        "response_needed": sample("return_request_response_needed", now=now, new_uuid=new_uuid),
    }
    item = {
        **sample("under_review", now=now, new_uuid=new_uuid, direction=direction)["object"],
        **common,
        **(fields or {}),
    }
    events = []
    for minute, (short, changes) in enumerate(steps):
        at = (START + timedelta(minutes=minute)).isoformat()
        item = {**item, **changes, "updated_at": at}
        if "return_requests" in changes:
            item["return_requests"] = requests[changes["return_requests"]]["object"]["return_requests"]
        kind = f"instant_payment.{short}"
        events.append({"id": f"event_{new_uuid().hex}", "event": kind, "created_at": at, "object": item})
    return Life(name=name, events=json.loads(json.dumps(events)))


def _ids(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [str(one) for key, one in value.items() if (key == "id" or key.endswith(_ID_ENDINGS)) and one]
        return [*own, *(found for one in value.values() for found in _ids(one))]
    return [found for one in value for found in _ids(one)] if isinstance(value, list) else []


_ID_ENDINGS: Final = ("end_to_end_id", "transaction_id", "uetr")

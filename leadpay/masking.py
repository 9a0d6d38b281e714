"""Names, account numbers and free text are masked wherever people look at data: on the terminal and in the console."""

from collections.abc import Iterator
from typing import Any, Final

import attrs

SHOWN_FIELDS: Final = frozenset(["ordering_key", "routing_number"])
SHOWN_ENDINGS: Final = frozenset(
    [
        *("amount", "at", "body", "by", "code", "deadline", "direction", "event", "filter", "id", "ids"),
        *("reason", "state", "status", "type", "uetr"),
    ]
)
"""Last parts of the field names that are shown in full. Every other field, also a new one, may hold personal data."""


@attrs.frozen
class Field:
    """One value of nested JSON."""

    path: str
    """Such as ``creditor.name`` or ``return_requests[0].reason``."""
    text: str = attrs.field(repr=False)
    """The value as text, unmasked; empty where there is none."""
    is_masked: bool
    """Whether it is shown masked."""

    @property
    def shown(self) -> str:
        """The text as it is shown."""
        return mask(self.text) if self.is_masked else self.text


def fields(data: Any, path: str = "") -> Iterator[Field]:
    """Convert nested JSON to one field for each value."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from fields(value, f"{path}.{name}".lstrip("."))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from fields(value, f"{path}[{index}]")
    else:
        name = path.rpartition(".")[2].partition("[")[0]
        text = "" if data is None else str(data)
        is_shown = not text or name in SHOWN_FIELDS or name.rpartition("_")[2] in SHOWN_ENDINGS
        yield Field(path, text, not is_shown)


def mask(text: str) -> str:
    """Hide a text; of an account number, leave the last four digits."""
    return f"…{text[-4:]}" if text.isdigit() and len(text) > len("1234") else "…"

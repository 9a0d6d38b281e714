"""How text and times are spelled that PostgreSQL refuses as they are: whatever the bank signs can be kept. Pure."""

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

MAX_KEY: Final = 600
"""How many bytes of an ID are kept as they are; PostgreSQL cannot index much more than 2,600 in one row."""


def key(text: str) -> str:
    """Spell an ID: a very long one ends in its hash, so that it can be indexed; what comes back is the same again."""
    spelled = escaped(text)
    data = spelled.encode()
    if len(data) <= MAX_KEY:
        return spelled
    # Cut before the escaping, so that what is read can be spelled again.
    return f"{escaped(text[: MAX_KEY // 10])}...{sha256(data).hexdigest()}"


def escaped(text: str) -> str:
    """Spell NUL as a backslash and a zero, and so a backslash as two; what UTF-8 hasn't becomes a question mark."""
    return text.encode(errors="replace").decode().replace("\\", "\\\\").replace("\0", "\\0")


def plain(spelled: str) -> str:
    """Read what was escaped."""
    return _ESCAPE.sub(lambda found: "\0" if found[0] == "\\0" else "\\", spelled)


def within(time: datetime) -> datetime:
    """Spell a time in UTC, within the years that a datetime has in every time zone."""
    return _at((time - EPOCH) // MICROSECOND)


def date(seconds: float) -> datetime:
    """Spell seconds since 1970, to the microsecond, within the same years."""
    return _at(round(seconds * 1_000_000))


def utc(naive: datetime) -> datetime:
    """Read a time that the database gave without its zone."""
    return naive.replace(tzinfo=UTC)


EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
_ESCAPE: Final = re.compile(r"\\[\\0]")
_EARLIEST: Final = (datetime(2, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
_LATEST: Final = (datetime(9998, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND


def _at(micro: int) -> datetime:
    return EPOCH + min(max(micro, _EARLIEST), _LATEST) * MICROSECOND

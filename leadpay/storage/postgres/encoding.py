"""Encode the text and times that PostgreSQL refuses, so that every event the bank signs can be stored. Pure."""

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

MAX_KEY: Final = 600
"""How many bytes of an ID are kept as they are; PostgreSQL cannot index much more than 2,600 in one row."""


def key(text: str) -> str:
    """Encode an ID: a very long one ends in its hash, so that it can be indexed. Encoding it again changes nothing."""
    encoded = escaped(text)
    data = encoded.encode()
    if len(data) <= MAX_KEY:
        return encoded
    # Cut before the escaping, so that the result can be decoded, and encoded again.
    return f"{escaped(text[: MAX_KEY // 10])}...{sha256(data).hexdigest()}"


def escaped(text: str) -> str:
    """Write NUL as a backslash and a zero, and a backslash as two; a lone surrogate becomes a question mark."""
    return text.encode(errors="replace").decode().replace("\\", "\\\\").replace("\0", "\\0")


def plain(encoded: str) -> str:
    """Undo :func:`escaped`."""
    return _ESCAPE.sub(lambda found: "\0" if found[0] == "\\0" else "\\", encoded)


def within(time: datetime) -> datetime:
    """Clamp a time to the years that a datetime has in every time zone, in UTC."""
    return _at((time - EPOCH) // MICROSECOND)


def date(seconds: float) -> datetime:
    """Turn seconds since 1970 into a time, to the microsecond, within the same years."""
    return _at(round(seconds * 1_000_000))


def utc(naive: datetime) -> datetime:
    """Add the zone to a time that the database gave without one."""
    return naive.replace(tzinfo=UTC)


EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
_ESCAPE: Final = re.compile(r"\\[\\0]")
_EARLIEST: Final = (datetime(2, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
_LATEST: Final = (datetime(9998, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND


def _at(micro: int) -> datetime:
    return EPOCH + min(max(micro, _EARLIEST), _LATEST) * MICROSECOND

"""JSON as it goes over the wire."""

from collections.abc import Callable
from functools import cache
from typing import Any


def encode(data: Any) -> bytes:
    """Write data as JSON in UTF-8, without spaces.

    Raises:
        TypeError: JSON has no such thing.
        ValueError: a text that UTF-8 can't write.
    """
    return _encoder()(data)


@cache
def _encoder() -> Callable[[Any], bytes]:
    from msgspec.json import Encoder  # noqa: PLC0415 - a tenth of the time of `import leadpay`

    # Kept, since to import again what is there already takes longer than to write a payment.
    return Encoder(enc_hook=_plain).encode


def _plain(value: Any) -> Any:
    """Give the text or the number that an object of a subclass is: a template's safe string is a string, too."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    raise TypeError(f"JSON has no {type(value).__name__}")


def decode(body: bytes) -> Any:
    """Read JSON in UTF-8.

    Raises:
        ValueError: it isn't JSON, or isn't UTF-8, or is nested more deeply than Python's stack.
    """
    from msgspec import DecodeError  # noqa: PLC0415 - as in _encoder
    from msgspec.json import decode  # noqa: PLC0415 - as in _encoder

    try:
        return decode(body)
    except (DecodeError, RecursionError, ValueError):
        # Without its cause, which may quote what was read.
        raise ValueError("must be JSON in UTF-8") from None

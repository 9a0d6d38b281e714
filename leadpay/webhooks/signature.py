"""Sign and verify the raw bytes of a webhook. Pure: no clock, no network, no framework.

The rule, from the bank's page on webhooks: the header ``Lead-Signature`` is
``t=<milliseconds since 1970>,v0=<base64>``, where v0 is HMAC-SHA256, with the signing secret,
over ``t + "." + raw body``.
"""

from binascii import b2a_base64
from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Final, NamedTuple, TypeAlias

from leadpay.errors import ConfigurationError, InvalidRequestError, Problem, SignatureError

HEADER: Final = "Lead-Signature"
"""The header that carries the signature."""

TOLERANCE_MS: Final = 300_000
"""How far a signature's time may be from now, in milliseconds, into the past and into the future.

Five minutes is what the field uses. The bank does not write whether a retry three hours later carries a new
time, so a refusal for age has a reason of its own: ``too_old``.
"""

MAX_HEADER_LENGTH: Final = 4096
"""Longest header that is read, in characters: room for some eighty signatures, and a limit on a stranger's work."""

MAX_TIMESTAMP_DIGITS: Final = 16
"""Longest time that is read, in digits: milliseconds until the year 318857, and a limit on big integers."""

_BYTES: Final = (bytes, bytearray, memoryview)
_VERSION: Final = "v0"

_BLOCK: Final = 64
"""Size of a block of SHA-256, in bytes."""

Secrets: TypeAlias = str | bytes | Sequence[str | bytes]
"""One signing secret, or several while one is being rotated out."""


class Verified(NamedTuple):
    """What is known of an accepted signature."""

    timestamp_ms: int
    """When the bank signed, in milliseconds since 1970."""
    secret_index: int
    """Which of the secrets matched, counted from 0: once the old one is never named, rotation is over."""


class Verifier:
    """Signing secrets, prepared once for many webhooks."""

    def __init__(self, secrets: Secrets) -> None:
        listed = [secrets] if isinstance(secrets, str | bytes) else list(secrets or ())
        if not listed or not all(isinstance(secret, str | bytes) and secret for secret in listed):
            # Anyone can compute the signature of an empty key.
            raise ConfigurationError("secrets: at least one signing secret is needed, and none may be empty")
        try:
            self._keys = tuple(_Key(secret) for secret in listed)
        except UnicodeEncodeError:
            # Without its cause, which would quote the secret.
            raise ConfigurationError("secrets: a signing secret must be text that UTF-8 can write") from None

    def verify(self, body: bytes, header: str | None, *, now_ms: int, tolerance_ms: int = TOLERANCE_MS) -> Verified:
        """Accept the body or raise SignatureError; see :func:`verify`."""
        timestamp, signatures = parse_header(header)
        if not isinstance(body, _BYTES):
            raise SignatureError("body_not_bytes")
        for index, key in enumerate(self._keys):
            expected = key.signature(timestamp, body)
            for signature in signatures:
                # The base64 texts are compared, since several of them decode to the same bytes.
                if compare_digest(signature, expected):
                    timestamp_ms = int(timestamp)
                    if -tolerance_ms <= timestamp_ms - now_ms <= tolerance_ms:
                        return Verified(timestamp_ms, index)
                    raise SignatureError("too_old" if timestamp_ms < now_ms else "too_new")
        raise SignatureError("mismatch")


def verify(
    body: bytes, header: str | None, secrets: Secrets, *, now_ms: int, tolerance_ms: int = TOLERANCE_MS
) -> Verified:
    """Check the signature of a webhook's raw bytes.

    Args:
        body: the bytes as they came, never JSON that was parsed and written again.
        header: the value of the ``Lead-Signature`` header; None if there was none.
        secrets: one signing secret or several.
        now_ms: the present time in milliseconds since 1970.
        tolerance_ms: how far the signature's time may be from now, in milliseconds, both ways.

    Returns:
        When the bank signed, and which of the secrets matched.

    Raises:
        SignatureError: the webhook is not accepted; ``reason`` says why. No header and no body raises anything else.
            A time out of tolerance is reported only if the signature matches: ``too_old`` is always the bank's own.
    """
    try:
        verifier = Verifier(secrets)
    except ConfigurationError:
        raise SignatureError("no_secret") from None
    return verifier.verify(body, header, now_ms=now_ms, tolerance_ms=tolerance_ms)


def sign(body: bytes, secret: str | bytes, timestamp_ms: int) -> str:
    """Sign raw bytes as the bank does.

    Args:
        body: the raw bytes of the webhook.
        secret: the signing secret.
        timestamp_ms: the time of signing in milliseconds since 1970.

    Returns:
        The value of the ``Lead-Signature`` header.

    Raises:
        InvalidRequestError: the body is not bytes, or the time is not a whole number of milliseconds.
        ConfigurationError: the secret is empty.
    """
    if not isinstance(body, _BYTES):
        raise InvalidRequestError([Problem("body", "must be bytes")], operation="sign")
    if type(timestamp_ms) is not int or not 0 <= timestamp_ms < 10**MAX_TIMESTAMP_DIGITS:
        raise InvalidRequestError([Problem("timestamp_ms", "must be an int, in milliseconds")], operation="sign")
    if not secret:
        raise ConfigurationError("secret: a signing secret is needed, and it may not be empty")
    return f"t={timestamp_ms},{_VERSION}={_Key(secret).signature(str(timestamp_ms), body)}"


class _Key:
    """An HMAC-SHA256 key (RFC 2104) as two hashes that have read the key, and are copied for each body.

    ``hmac.digest`` reads the key anew for each body: that takes longer than a tenth of receiving a webhook.
    """

    def __init__(self, secret: str | bytes) -> None:
        key = secret.encode() if isinstance(secret, str) else secret
        if len(key) > _BLOCK:
            key = sha256(key).digest()
        key = key.ljust(_BLOCK, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in key))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in key))

    def signature(self, timestamp: str, body: bytes) -> str:
        """Sign ``timestamp + "." + body``, in base64."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"{timestamp}.".encode())
        inner.update(body)
        outer.update(inner.digest())
        return b2a_base64(outer.digest(), newline=False).decode()


def parse_header(header: str | None) -> tuple[str, Sequence[str]]:
    """Split a ``Lead-Signature`` header into the time as it was signed and the signatures of the version that we know.

    Raises:
        SignatureError: no body would be accepted with this header.
    """
    if header is None:
        raise SignatureError("missing_header")
    if not isinstance(header, str) or len(header) > MAX_HEADER_LENGTH or not header.isascii():
        raise SignatureError("malformed_header")
    timestamps: list[str] = []
    signatures: list[str] = []
    for part in header.split(","):
        # Base64 ends in "=": only the first one separates.
        name, separator, value = part.strip(" ").partition("=")
        if not separator:
            raise SignatureError("malformed_header")
        if name == "t":
            timestamps.append(value)
        elif name == _VERSION:
            signatures.append(value)
    if len(timestamps) != 1 or not timestamps[0].isdigit() or len(timestamps[0]) > MAX_TIMESTAMP_DIGITS:
        raise SignatureError("malformed_header")
    if not signatures:
        raise SignatureError("no_known_version")
    return timestamps[0], signatures

"""Form tokens: a form of ours is used by the person it was made for, within hours, and once."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

from leadpay.console.access import User

LIFETIME: Final = 12 * 3600
"""Seconds that a form can be used: as long as a login."""


class FormTokens:
    """Makes and checks the hidden token of each form. It belongs to one process, as the key does.

    Args:
        now: the time in seconds since 1970.
        key: signs the tokens; made anew if left out.
    """

    def __init__(self, *, now: Callable[[], float] = time.time, key: bytes | None = None) -> None:
        self._now = now
        self._key = key or secrets.token_bytes(32)
        self._used: dict[str, float] = {}

    def make(self, user: User) -> str:
        """Make the token of a form for one person."""
        token = f"{int(self._now()) + LIFETIME}.{secrets.token_urlsafe(12)}"
        return f"{token}.{self._signature(token, user)}"

    def use(self, token: str, user: User) -> bool:
        """Whether a form may be used now; the second time it may not."""
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._signature(signed, user).encode(), signature.encode(errors="replace")):
            return False
        now, expires = self._now(), float(signed.partition(".")[0])
        if expires <= now or signed in self._used:
            return False
        self._used = {one: until for one, until in self._used.items() if until > now} | {signed: expires}
        return True

    def _signature(self, token: str, user: User) -> str:
        message = f"{token}\0{user.name}\0{user.role}".encode(errors="surrogatepass")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()

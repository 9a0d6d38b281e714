"""Who may look at the console, and who may act."""

import hashlib
import hmac
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

import attrs
from aiohttp import web

from leadpay.errors import ConfigurationError

MIN_TOKEN_LENGTH: Final = 16
"""Fewer characters could be guessed."""

SESSION_SECONDS: Final = 12 * 3600
"""How long a login lasts: a working day."""

COOKIE: Final = "leadpay_console"

Role: TypeAlias = Literal["operator", "read-only"]
"""An operator may act and reveal names; a read-only user may only look."""


@attrs.frozen
class User:
    """A person at the console."""

    name: str
    """Kept with everything that this person does."""
    role: Role = "read-only"

    @property
    def may_act(self) -> bool:
        """Whether this person may change things and see names."""
        return self.role == "operator"


Auth: TypeAlias = Callable[[web.Request], Awaitable[User | None]]
"""Your own function: the user of a request, or None to refuse it with 401."""


class TokenAuth:
    """A shared token, that a person types in once a day, or a program sends as ``Authorization: Bearer``.

    Args:
        operator: the token of those who may act.
        read_only: the token of those who may look.
        now: the time in seconds since 1970.

    Raises:
        ConfigurationError: a token has fewer than 16 characters, or both are equal.
    """

    def __init__(
        self, operator: str | None = None, read_only: str | None = None, *, now: Callable[[], float] = time.time
    ) -> None:
        roles: tuple[tuple[Role, str | None], ...] = (("operator", operator), ("read-only", read_only))
        self._tokens: dict[Role, bytes] = {role: token.encode() for role, token in roles if token}
        if not self._tokens:
            raise ConfigurationError("console: there is no token")
        if any(len(token) < MIN_TOKEN_LENGTH for token in self._tokens.values()):
            raise ConfigurationError(f"console: a token has at least {MIN_TOKEN_LENGTH} characters")
        if operator == read_only:
            raise ConfigurationError("console: the two tokens must differ")
        self._now = now

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "TokenAuth | None":
        """Read ``LEAD_CONSOLE_TOKEN`` and ``LEAD_CONSOLE_READ_ONLY_TOKEN``; None if neither is set."""
        found = os.environ if env is None else env
        operator, read_only = found.get("LEAD_CONSOLE_TOKEN"), found.get("LEAD_CONSOLE_READ_ONLY_TOKEN")
        return cls(operator, read_only) if operator or read_only else None

    async def __call__(self, request: web.Request) -> User | None:
        """The user of a request: by its token, or by the cookie of a login."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        role = self._role(token) if scheme.lower() == "bearer" else self._session(request.cookies.get(COOKIE, ""))
        return None if role is None else User(role, role)

    def login(self, token: str) -> str | None:
        """Give the value of a session's cookie, or None if the token is wrong."""
        role = self._role(token)
        if role is None:
            return None
        session = f"{role}.{int(self._now()) + SESSION_SECONDS}"
        return f"{session}.{self._signature(role, session)}"

    def _role(self, token: str) -> Role | None:
        given = token.strip().encode(errors="replace")
        # Every token is compared, each in constant time.
        found: list[Role] = [role for role, known in self._tokens.items() if hmac.compare_digest(known, given)]
        return found[0] if found else None

    def _session(self, cookie: str) -> Role | None:
        session, _, signature = cookie.rpartition(".")
        name, _, expires = session.partition(".")
        for role in self._tokens:
            expected = self._signature(role, session).encode()
            if role == name and hmac.compare_digest(expected, signature.encode(errors="replace")):
                return role if int(expires) > self._now() else None
        return None

    def _signature(self, role: Role, session: str) -> str:
        # The token is the key, so that a new token ends the sessions of the old one.
        return hmac.new(
            self._tokens[role], f"leadpay console {session}".encode(errors="replace"), hashlib.sha256
        ).hexdigest()


async def loopback(request: web.Request) -> User | None:
    """Let everyone on this machine in as an operator, and no one else.

    Every user of the machine can then use the console. A reverse proxy on the same machine would open it to the
    network, so a request that passed one is refused where it can be recognised.
    """
    proxied = {"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"} & {
        *map(str.title, request.headers)
    }
    peer = request.transport.get_extra_info("peername") if request.transport else None
    is_local = isinstance(peer, tuple) and is_loopback(peer[0])
    return User("local", "operator") if is_local and not proxied else None


def host_of(url: str) -> str:
    """Give the host of a URL or of a Host header, in lower case; empty if it cannot be read."""
    try:
        return (urlsplit(url if "//" in url else f"//{url}").hostname or "").lower()
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a host name or an address is this machine's own."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def choose(auth: Auth | None) -> Auth:
    """Give the auth of a mount: the user's own, or the tokens of the environment.

    Raises:
        ConfigurationError: there is neither. The console has no open default.
    """
    found = auth or TokenAuth.from_env()
    if found is None:
        raise ConfigurationError(
            "console: who may look at it? Set LEAD_CONSOLE_TOKEN, or pass auth=, a function of yours, or auth=loopback"
        )
    return found

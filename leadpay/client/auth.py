"""OAuth2 client credentials: fetched when first needed, renewed ahead of expiry, one request for all who wait.

The bank's page on authentication: a JSON body, not a form. It has announced that asking again may bring the same
token with less time left, so ``expires_in`` is obeyed and the same token after a refusal ends in an error.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias

from leadpay.client.requests import Request, RetrySafety
from leadpay.clock import Clock
from leadpay.config import Credentials
from leadpay.converter import encode
from leadpay.errors import ConfigurationError, LeadError, RequestNotSentError
from leadpay.models import AccessToken

RENEW_AHEAD: Final = 60.0
"""How long before its end a token is renewed, in seconds, so that none runs out on its way. At most half its life."""


class TokenSource(Protocol):
    """What gives tokens."""

    def current(self) -> str | None:
        """Give a token that is at hand and good, or None."""
        ...

    async def get(self, rejected: str | None = None) -> str:
        """Give a token, a fresh one if that one was rejected."""
        ...


def usable(token: object) -> str:
    """Accept what can stand in a header.

    Raises:
        ConfigurationError: it cannot.
    """
    if isinstance(token, str) and token and token.isascii() and token.isprintable():
        return token
    raise ConfigurationError("token: must be a string of printable ASCII characters")


class FixedToken:
    """A token that somebody else looks after."""

    def __init__(self, token: str) -> None:
        self._token = usable(token)

    def current(self) -> str:
        """The token."""
        return self._token

    async def get(self, rejected: str | None = None) -> str:  # noqa: ARG002 - there is no other
        """The token."""
        return self._token


Provider: TypeAlias = Callable[[str | None], Awaitable[str]]
"""A coroutine function of your own: takes the token that was just rejected, or None, and gives one."""


class ProvidedToken:
    """Asks a provider for each call; it keeps what it likes."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def current(self) -> None:
        """Nothing is kept here."""
        return

    async def get(self, rejected: str | None = None) -> str:
        """Ask the provider.

        Raises:
            RequestNotSentError: it failed; its own error is the cause.
        """
        try:
            return usable(await self._provider(rejected))
        except LeadError:
            raise
        except Exception as error:
            raise RequestNotSentError(f"the token provider failed: {type(error).__name__}") from error


class ClientCredentials:
    """Exchanges credentials for tokens.

    Args:
        fetch: asks the token endpoint once, with its retries.
        clock: what tells how old a token is.
    """

    def __init__(self, fetch: Callable[[], Awaitable[AccessToken]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._token: str | None = None
        self._renew_at = 0.0
        self._ends_at = 0.0
        self._fetching: asyncio.Task[None] | None = None

    def current(self) -> str | None:
        """The token, unless it is missing or about to run out."""
        return self._token if self._clock.monotonic() < self._renew_at else None

    async def get(self, rejected: str | None = None) -> str:
        """Give a good token; those who ask while one is on its way share it.

        Args:
            rejected: a token that the bank has just refused.

        Raises:
            LeadError: the token endpoint's refusal, or its silence. The next call tries again.
        """
        token = self.current()
        if token is not None and token != rejected:
            return token
        fetching = self._fetching
        if fetching is None:
            # A task of its own: whoever waits may be cancelled, and the others still get their token.
            fetching = self._fetching = asyncio.create_task(self._renew())
            fetching.add_done_callback(self._fetched)
        if rejected is None and self._token is not None and self._clock.monotonic() < self._ends_at:
            # Nobody waits for a renewal, nor fails with it, while the old token is good.
            return self._token
        try:
            await asyncio.shield(fetching)
        except LeadError as error:
            # Each waiter gets an error of its own, since it will carry that waiter's key.
            raise copy.copy(error) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not fetching.cancelled() or (task is not None and task.cancelling()):
                raise
            # Not the caller was cancelled, but the fetch.
            raise RequestNotSentError("the client was closed") from None
        assert self._token is not None  # noqa: S101 - for the type checker; a renewal that succeeds sets it
        return self._token

    async def aclose(self) -> None:
        """Give up a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _renew(self) -> None:
        answer = await self._fetch()
        now = self._clock.monotonic()
        life = float("inf") if answer.expires_in is None else float(answer.expires_in)
        self._token = usable(answer.access_token)
        self._ends_at = now + life
        self._renew_at = self._ends_at - min(RENEW_AHEAD, life / 2) if life != float("inf") else life

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # seen, also where every waiter is gone


def token_request(credentials: Credentials) -> Request:
    """Build the request for a token."""
    body = {
        "grant_type": "client_credentials",
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
        "scope": credentials.scope,
    }
    return Request("token", RetrySafety.SAFE, "POST", "/v1/oauth/token", encode(body))

"""Access tokens. Client credentials are exchanged when first needed and ahead of expiry, once for all waiting calls.

The bank's page on authentication wants a JSON body, not a form. It has announced that a further request may return the
same token with less time left. So ``expires_in`` is obeyed, and a refused token that comes back ends in an error.
"""

import asyncio
import copy
import logging
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final, Protocol, TypeAlias

from leadpay.client.requests import Request, RetrySafety
from leadpay.clock import Clock
from leadpay.config import Credentials
from leadpay.converter import encode
from leadpay.errors import APIError, ConfigurationError, LeadError, NoAnswerError, RequestNotSentError, TokenError
from leadpay.models import AccessToken

_SERVER_ERROR: Final = 500

RENEW_AHEAD: Final = 60.0
"""How long before its end a token is renewed, in seconds; at most half its lifetime. So none expires on its way."""


RENEWAL_PAUSE: Final = 1.0
"""Seconds until a renewal that failed is tried again, while the old token is good; doubled with each failure."""

MAX_RENEWAL_PAUSE: Final = 30.0
"""Longest of these pauses, in seconds: half of RENEW_AHEAD, so that the last minute of a token has several attempts."""

logger = logging.getLogger("leadpay.client")


class TokenSource(Protocol):
    """Gives tokens."""

    def current(self) -> str | None:
        """Return a good token that is already here, or None."""
        ...

    async def get(self, rejected: str | None = None) -> str:
        """Return a token, a new one if this one was rejected."""
        ...


class Token(str):
    """An access token whose repr does not show it: tracebacks and error trackers show the repr of arguments."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<token>"


def check_token(token: object) -> Token:
    """Return the token if it fits into a header.

    Raises:
        ConfigurationError: it does not.
    """
    if isinstance(token, str) and token.strip() == token != "" and token.isascii() and token.isprintable():
        return Token(token)
    raise ConfigurationError("token: must be a string of printable ASCII characters, without white space at its ends")


class FixedToken:
    """One token that never changes here."""

    def __init__(self, token: str) -> None:
        self._token = check_token(token)

    def current(self) -> str:
        """The token."""
        return self._token

    async def get(self, rejected: str | None = None) -> str:  # noqa: ARG002 - there is no other token
        """The token."""
        return self._token


TokenProvider: TypeAlias = Callable[[str | None], Awaitable[str]]
"""A coroutine function of your own: takes the token that was just rejected, or None, and returns one."""


class ProvidedToken:
    """Asks a provider for each attempt; the provider may cache."""

    def __init__(self, provider: TokenProvider) -> None:
        self._provider = provider

    def current(self) -> None:
        """Nothing is kept here."""
        return

    async def get(self, rejected: str | None = None) -> str:
        """Ask the provider.

        Raises:
            RequestNotSentError: the provider failed; its own error is the cause.
        """
        try:
            token = await self._provider(rejected)
        except LeadError:
            raise
        except Exception as error:
            raise RequestNotSentError(f"the token provider failed: {type(error).__name__}") from error
        try:
            return check_token(token)
        except ConfigurationError as error:
            raise RequestNotSentError(f"the token provider failed: {error}") from error


class ClientCredentials:
    """Exchanges credentials for tokens.

    Args:
        fetch: makes the call to the token endpoint.
        clock: tells how old a token is.
    """

    def __init__(self, fetch: Callable[[], Awaitable[AccessToken]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._token: str | None = None
        self._renew_at = 0.0
        self._ends_at = 0.0
        self._failures = 0
        self._fetching: asyncio.Task[None] | None = None

    def current(self) -> str | None:
        """The token, unless it is missing or about to expire."""
        return self._token if self._clock.monotonic() < self._renew_at else None

    async def get(self, rejected: str | None = None) -> str:
        """Return a good token; calls that ask while one is being fetched share it.

        Args:
            rejected: a token that the bank has just refused.

        Raises:
            LeadError: the token endpoint refused, or did not respond. The next call tries again.
        """
        token = self.current()
        if token is not None and token != rejected:
            return token
        fetching = self._fetching
        if fetching is None:
            # In a task of its own: a waiting call may be cancelled, and the others still get their token.
            fetching = self._fetching = asyncio.create_task(self._renew())
            fetching.add_done_callback(self._fetched)
        if rejected is None and self._token is not None and self._clock.monotonic() < self._ends_at:
            # While the old token is good, no call waits for a renewal or fails with it.
            return self._token
        try:
            await asyncio.shield(fetching)
        except LeadError as error:
            # Each waiting call gets an error of its own, since it will carry that call's key.
            raise _without_token(error) from copy.copy(error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not fetching.cancelled() or (task is not None and task.cancelling()):
                raise
            # The fetch was cancelled, not this call.
            raise RequestNotSentError("the client was closed") from None
        assert self._token is not None  # noqa: S101 - for the type checker; a renewal that succeeds sets it
        return self._token

    async def aclose(self) -> None:
        """Cancel a fetch that is in progress."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _renew(self) -> None:
        granted = await self._fetch()
        lifetime = inf if granted.expires_in is None else float(granted.expires_in)
        self._token = check_token(granted.access_token)
        self._failures = 0
        self._ends_at = self._clock.monotonic() + lifetime
        self._renew_at = self._ends_at - min(RENEW_AHEAD, lifetime / 2)

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if task.cancelled() or (error := task.exception()) is None:
            return
        now = self._clock.monotonic()
        if now < self._ends_at:
            pause = min(MAX_RENEWAL_PAUSE, RENEWAL_PAUSE * 2.0 ** min(self._failures, 60))
            self._failures += 1
            self._renew_at = min(now + pause, self._ends_at)
            logger.warning(
                "the access token could not be renewed (%s); it ends in %.0f s, next attempt in %.0f s",
                type(error).__name__,
                self._ends_at - now,
                self._renew_at - now,
            )


def _without_token(error: LeadError) -> LeadError:
    """Make the error of a call that got no token: a refusal of the token, or that the call was not sent."""
    status = getattr(error, "status", None)
    if isinstance(error, APIError | NoAnswerError) and status is not None and status < _SERVER_ERROR:
        fields = {name: getattr(error, name, None) for name in ("code", "title", "detail", "instance")}
        return TokenError(status, fields, request_id=error.request_id, retry_after=error.retry_after)
    return RequestNotSentError(f"no access token: {error}", retry_after=getattr(error, "retry_after", None))


def token_request(credentials: Credentials) -> Request:
    """Build the request for a token."""
    body = {
        "grant_type": "client_credentials",
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
        "scope": credentials.scope,
    }
    return Request("token", RetrySafety.SAFE, "POST", "/v1/oauth/token", encode(body))

"""Calling the bank."""

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp

from leadpay.client.auth import ClientCredentials, FixedToken, ProvidedToken, Provider, TokenSource, token_request
from leadpay.client.events import Events
from leadpay.client.executor import RequestExecutor, make_idempotency_key
from leadpay.client.instant_payments import InstantPayments
from leadpay.client.logins import in_netrc
from leadpay.client.observed import ObservedRequestExecutor
from leadpay.client.retry import RetryPolicy
from leadpay.client.simulate import Simulate
from leadpay.client.transport import Send, Transport
from leadpay.clock import Clock, SystemClock
from leadpay.config import BASE_URLS, Credentials, Settings, Timeouts
from leadpay.config import base_url as find_base_url
from leadpay.converter import read
from leadpay.errors import ConfigurationError
from leadpay.instrumentation import Observer
from leadpay.models import AccessToken

MAX_CONNECTIONS: Final = 100
"""Most connections that a session of our own opens to the bank; more calls wait their turn."""


class LeadClient:
    """Calls the bank: ``async with LeadClient(client_id=..., client_secret=...) as lead``.

    One client serves any number of tasks of one event loop.

    Args:
        client_id: the OAuth2 client ID.
        client_secret: its secret.
        environment: ``sandbox`` or ``production``; ``sandbox`` if neither this nor ``base_url`` is given.
        base_url: another address, such as a pretend bank's; without TLS on loopback only.
        token: instead of credentials, a token, or a coroutine function that takes the token that was just rejected,
            or None, and gives one.
        session: an aiohttp session to borrow, without an auth of its own, nor one for the bank's host in a netrc
            file that it trusts; it is never closed here.
        retry: when to try again.
        timeouts: how long to wait.
        clock: what tells the time.
        rng: spreads repetitions.
        new_idempotency_key: makes the key of a write that is given none.
        observer: a function that is told of every call and every attempt; see ``leadpay.instrumentation``.

    Raises:
        ConfigurationError: something is missing or contradictory.
    """

    def __init__(
        self,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        environment: str | None = None,
        base_url: str | None = None,
        token: str | Provider | None = None,
        session: aiohttp.ClientSession | None = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        clock: Clock | None = None,
        rng: Random | None = None,
        new_idempotency_key: Callable[[], str] = make_idempotency_key,
        observer: Observer | None = None,
    ) -> None:
        if environment is not None and base_url is not None and environment not in BASE_URLS:
            raise ConfigurationError("environment: is unknown; leave it out where base_url is given")
        self._base_url = find_base_url(environment or "sandbox", base_url)
        if token is None and not (client_id and client_secret):
            raise ConfigurationError("client_id and client_secret: both are needed, or a token")
        if token is not None and (client_id or client_secret):
            raise ConfigurationError("token: give either a token or credentials")
        self._source = _source(token)
        self._credentials = _credentials(client_id or "", client_secret or "")
        self._borrowed = session
        if session is not None and session.auth is not None:
            raise ConfigurationError("session: has an auth of its own, which contradicts the bank's token")
        self._retry = retry or RetryPolicy()
        self._timeouts = timeouts or Timeouts()
        self._clock = clock or SystemClock()
        self._rng = rng or Random()  # noqa: S311 - spreads repetitions, guards nothing
        self._new_idempotency_key = new_idempotency_key
        self._observer = observer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: aiohttp.ClientSession | None = None
        self._caller: RequestExecutor | None = None
        self._closed = False
        self.instant_payments: InstantPayments = InstantPayments(self._open)
        """The calls about payments."""
        self.events: Events = Events(self._open)
        """The calls about events."""
        self._simulate = Simulate(self._open)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """Make a client from ``LEAD_CLIENT_ID``, ``LEAD_CLIENT_SECRET``, ``LEAD_ENVIRONMENT`` and ``LEAD_BASE_URL``.

        Args:
            env: the mapping to read; ``os.environ`` if left out.
            overrides: arguments of the constructor, which go first: ``environment`` before ``LEAD_BASE_URL`` too.

        Raises:
            ConfigurationError: something is missing or contradictory.
        """
        found = Settings.from_env(env)
        settings: dict[str, Any] = {"environment": found.environment, "base_url": found.base_url}
        if overrides.get("token") is None:
            settings |= {"client_id": found.client_id, "client_secret": found.client_secret}
        if overrides.get("environment") is not None:
            # Whoever asks for an environment by name doesn't mean the address that lies around.
            del settings["base_url"]
        elif overrides.get("base_url", found.base_url) is not None:
            del settings["environment"]
        return cls(**(settings | overrides))

    def __repr__(self) -> str:
        return f"LeadClient(base_url={self._base_url!r})"

    @property
    def simulate(self) -> Simulate:
        """The simulations; sandbox environments only.

        Raises:
            ConfigurationError: this client calls production.
        """
        if urlsplit(self._base_url).hostname == urlsplit(BASE_URLS["production"]).hostname:
            raise ConfigurationError("simulate: production cannot be simulated; use the sandbox")
        return self._simulate

    async def __aenter__(self) -> Self:
        """Get ready; nothing is sent yet."""
        self._open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of a session of our own; a borrowed one stays open. Closing again does nothing."""
        self._closed = True
        session, self._session = self._session, None
        try:
            if isinstance(self._source, ClientCredentials):
                await self._source.aclose()
        finally:
            if session is not None:
                await session.close()

    def _open(self, key: str | None = None) -> RequestExecutor:
        """Give what makes calls; on first use, tie this client to the running event loop."""
        loop = asyncio.get_running_loop()
        if self._caller is not None and loop is self._loop and not self._closed:
            return self._caller
        try:
            self._check_usable(loop)
        except ConfigurationError as error:
            error.idempotency_key = key
            raise
        self._loop = loop
        self._caller = self._wire()
        return self._caller

    def _check_usable(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._closed:
            raise ConfigurationError("this client is closed; make a new one")
        if self._caller is not None:
            raise ConfigurationError("this client belongs to another event loop; make one for each")
        borrowed = self._borrowed
        if getattr(borrowed, "_loop", loop) is not loop:
            # Else each call would fail within aiohttp, where nobody can tell what was sent.
            raise ConfigurationError("session: belongs to another event loop")
        if borrowed is not None and borrowed.trust_env and in_netrc(self._base_url):
            raise ConfigurationError(
                "session: trusts the environment, whose netrc file has a login for the bank's host, which contradicts "
                "the bank's token; make the session without trust_env, or take the login out"
            )

    def _wire(self) -> RequestExecutor:
        session = self._borrowed
        if session is None:
            session = self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        send = Transport(session, self._base_url, self._timeouts).send
        if self._source is None:
            exchange = self._make_caller(send, None)
            self._source = ClientCredentials(
                lambda: exchange.call(token_request(self._credentials), lambda body: read(body, AccessToken)),
                self._clock,
            )
        return self._make_caller(send, self._source)

    def _make_caller(self, send: Send, source: TokenSource | None) -> RequestExecutor:
        if self._observer is None:
            return RequestExecutor(
                send, source, self._retry, self._timeouts, self._clock, self._rng, self._new_idempotency_key
            )
        wiring = (send, source, self._retry, self._timeouts, self._clock, self._rng, self._new_idempotency_key)
        return ObservedRequestExecutor(*wiring, observer=self._observer, base_url=self._base_url)


def _credentials(client_id: str, client_secret: str) -> Credentials:
    try:
        for word in (client_id, client_secret):
            str.encode(word)  # bytes are refused now, since JSON would make base64 of them
    except (TypeError, UnicodeEncodeError):
        # An environment that is not UTF-8 gives strings that have no bytes.
        raise ConfigurationError("client_id and client_secret: must be strings of valid Unicode") from None
    return Credentials(client_id=client_id, client_secret=client_secret)


def _source(token: str | Provider | None) -> TokenSource | None:
    if token is None:
        return None
    return ProvidedToken(token) if callable(token) else FixedToken(token)

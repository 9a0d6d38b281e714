"""The client: calls to the bank."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Self, cast
from urllib.parse import urlsplit

import aiohttp

from leadpay.client.account_numbers import AccountNumbers
from leadpay.client.auth import ClientCredentials, FixedToken, ProvidedToken, TokenProvider, TokenSource, token_request
from leadpay.client.capacity import Capacity
from leadpay.client.events import Events
from leadpay.client.executor import RequestExecutor, make_idempotency_key
from leadpay.client.instant_payments import InstantPayments
from leadpay.client.retry import RetryPolicy
from leadpay.client.simulate import Simulate
from leadpay.client.transport import Transport
from leadpay.clock import Clock, SystemClock
from leadpay.config import BASE_URLS, PRODUCTION_HOST, SCOPES, Credentials, Settings, Timeouts
from leadpay.config import base_url as find_base_url
from leadpay.converter import structure
from leadpay.errors import ConfigurationError
from leadpay.instrumentation import Observer
from leadpay.models import AccessToken


class LeadClient:
    """A client of the bank: ``async with LeadClient(client_id=..., client_secret=...) as lead``.

    One client serves any number of tasks of one event loop.

    Args:
        client_id: the OAuth2 client ID.
        client_secret: its secret.
        environment: ``sandbox`` or ``production``; ``sandbox`` if neither this nor ``base_url`` is given.
        base_url: another address, such as the sandbox's; without TLS on loopback only. It must not contradict
            ``environment``.
        scope: the scopes of the token, separated by spaces; all that this SDK calls if left out. A program that was
            not granted one of them names those that it was granted.
        token: instead of credentials, a token, or a coroutine function that takes the token that was just rejected,
            or None, and returns one.
        session: an aiohttp session to borrow, without an auth of its own, and without a login for the bank's host in
            a netrc file that it trusts; it is never closed here.
        retry: when to try again.
        timeouts: how long to wait.
        clock: tells the time.
        rng: spreads retries.
        new_idempotency_key: makes the key of a write that is given none.
        observer: a function that is told of every call and every attempt; see ``leadpay.instrumentation``.
        max_per_second: most attempts a second; there is no limit if left out.

    Raises:
        ConfigurationError: a setting is missing or contradictory.
    """

    # On the class, each is the class of its calls: so `create_autospec(LeadClient, instance=True)` finds them.
    instant_payments: InstantPayments = cast("InstantPayments", InstantPayments)
    """The calls about payments."""
    events: Events = cast("Events", Events)
    """The calls about events."""
    account_numbers: AccountNumbers = cast("AccountNumbers", AccountNumbers)
    """The calls about account numbers."""
    simulate: Simulate = cast("Simulate", Simulate)
    """The simulations; in sandbox environments only."""

    def __init__(
        self,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        environment: str | None = None,
        base_url: str | None = None,
        scope: str | None = None,
        token: str | TokenProvider | None = None,
        session: aiohttp.ClientSession | None = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        clock: Clock | None = None,
        rng: Random | None = None,
        new_idempotency_key: Callable[[], str] = make_idempotency_key,
        observer: Observer | None = None,
        max_per_second: float | None = None,
    ) -> None:
        if environment is not None and base_url is not None and environment not in BASE_URLS:
            raise ConfigurationError("environment: is unknown; leave it out where base_url is given")
        if session is not None and session.auth is not None:
            raise ConfigurationError("session: has an auth of its own, which contradicts the bank's token")
        if base_url is None:
            environment = environment or "sandbox"
        base_url = find_base_url(environment, base_url)
        timeouts = timeouts or Timeouts()
        clock = clock or SystemClock()
        self._transport = Transport(base_url, timeouts, session)

        rng = rng or Random()  # noqa: S311 - spreads retries, protects nothing

        def make_executor(tokens: TokenSource | None, capacity: Capacity | None = None) -> RequestExecutor:
            return RequestExecutor(
                self._transport,
                tokens,
                policy=retry or RetryPolicy(),
                timeouts=timeouts,
                clock=clock,
                rng=rng,
                capacity=capacity,
                new_idempotency_key=new_idempotency_key,
                observer=observer,
            )

        credentials = _credentials(client_id, client_secret, scope) if token is None else None
        if token is not None and (client_id or client_secret or scope):
            raise ConfigurationError("token: give either a token or credentials and their scope")
        # Requests for a token have a capacity of their own: attempts that have theirs wait for the token.
        self._tokens = _token_source(token, credentials, make_executor(None), clock)
        executor = make_executor(self._tokens, Capacity(clock, rng, max_per_second))
        self.instant_payments = InstantPayments(executor)
        self.events = Events(executor)
        self.account_numbers = AccountNumbers(executor)
        self.simulate = Simulate(executor, allowed=urlsplit(base_url).hostname != PRODUCTION_HOST)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """Make a client from ``LEAD_CLIENT_ID``, ``LEAD_CLIENT_SECRET``, ``LEAD_SCOPE`` and so on.

        ``LEAD_ENVIRONMENT`` and ``LEAD_BASE_URL`` are the other two.

        Args:
            env: the mapping to read; ``os.environ`` if left out.
            overrides: arguments of the constructor, which come first: ``environment`` before ``LEAD_BASE_URL``, too.

        Raises:
            ConfigurationError: a setting is missing or contradictory.
        """
        found = Settings.from_env(env)
        settings: dict[str, Any] = {"environment": found.environment, "base_url": found.base_url}
        if overrides.get("token") is None:
            settings |= {"client_id": found.client_id, "client_secret": found.client_secret, "scope": found.scope}
        if overrides.get("environment") is not None:
            # To ask for an environment by name means its own address, not the one in LEAD_BASE_URL.
            del settings["base_url"]
        elif overrides.get("base_url") is not None:
            del settings["environment"]
        return cls(**(settings | overrides))

    def __repr__(self) -> str:
        return f"LeadClient(base_url={self._transport.base_url!r})"

    async def __aenter__(self) -> Self:
        """Get ready; nothing is sent yet."""
        self._transport.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of a session of our own; a borrowed one stays open. To close again does nothing."""
        try:
            if isinstance(self._tokens, ClientCredentials):
                await self._tokens.aclose()
        finally:
            await self._transport.aclose()


def _credentials(client_id: str | None, client_secret: str | None, scope: str | None) -> Credentials:
    if not (client_id and client_secret):
        raise ConfigurationError(
            "client_id and client_secret: both are needed, or a token; from_env reads LEAD_CLIENT_ID and "
            "LEAD_CLIENT_SECRET"
        )
    scope = SCOPES if scope is None else scope
    for name, setting in (("client_id", client_id), ("client_secret", client_secret), ("scope", scope)):
        try:
            str.encode(setting)  # bytes are refused now, since JSON would make base64 of them
        except (TypeError, UnicodeEncodeError):
            # An environment that is not UTF-8 gives strings that have no bytes.
            raise ConfigurationError(f"{name}: must be a string of valid Unicode") from None
        if setting.strip() != setting or not setting:
            raise ConfigurationError(f"{name}: is empty, or has white space at its ends")
    return Credentials(client_id=client_id, client_secret=client_secret, scope=scope)


def _token_source(
    token: str | TokenProvider | None, credentials: Credentials | None, executor: RequestExecutor, clock: Clock
) -> TokenSource:
    if credentials is None:
        return ProvidedToken(token) if callable(token) else FixedToken(token or "")
    request = token_request(credentials)
    return ClientCredentials(lambda: executor.call(request, lambda data: structure(data, AccessToken)), clock)

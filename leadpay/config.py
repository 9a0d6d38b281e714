"""Settings: the bank's addresses, credentials and timeouts, from arguments or from environment variables."""

import os
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import attrs

from leadpay.errors import ConfigurationError

BASE_URLS: Final[Mapping[str, str]] = {
    "sandbox": "https://api.sandbox.lead.bank",
    "production": "https://api.lead.bank",
}
"""The bank's environments by name."""

PRODUCTION_HOST: Final = "api.lead.bank"
"""The host on which money moves."""

WEBHOOK_SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "sandbox": ("34.234.237.195",),
    "production": ("3.216.219.186",),
}
"""The IP addresses from which each environment sends its webhooks, for an allow-list."""

SCOPES: Final = "instant_payment/read_write event/read account_number/read_write"
"""The scopes that a token is requested with: what this SDK needs, and no more."""


def _positive(_: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ConfigurationError(f"{attribute.name}: must be a positive number of seconds")


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long to wait, in seconds.

    An instant payment takes at most twenty seconds. After ``read`` without a response, the request is sent again with
    the same key; ``deadline`` limits a call with all its attempts and pauses.
    """

    connect: float = attrs.field(default=5.0, validator=_positive)
    """To open a connection, TLS included."""
    read: float = attrs.field(default=20.0, validator=_positive)
    """For one attempt, from the first byte sent to the last byte received."""
    deadline: float = attrs.field(default=60.0, validator=_positive)
    """For the whole call: all attempts, and the pauses between them."""


@attrs.frozen(kw_only=True)
class Credentials:
    """OAuth2 client credentials."""

    client_id: str
    client_secret: str = attrs.field(repr=False)
    scope: str = SCOPES
    """Space-separated."""


def base_url(environment: str | None, url: str | None) -> str:
    """Choose the base URL of the bank's API.

    Args:
        environment: ``sandbox`` or ``production``. Where ``url`` is given, it must not contradict it.
        url: another base URL, such as a sandbox's.

    Returns:
        The base URL, without a slash at its end.

    Raises:
        ConfigurationError: neither is known, or they contradict each other, or the URL is not absolute, carries more
            than a path, or has no TLS although its host is not loopback.
    """
    if url is None:
        found = BASE_URLS.get(environment or "")
        if found is None:
            raise ConfigurationError(f"environment: must be one of {', '.join(sorted(BASE_URLS))}")
        return found
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")  # otherwise each call would fail, and whether it was sent would be unknown
    except ValueError:
        # Without its cause, which quotes the URL and perhaps a password.
        raise ConfigurationError("base_url: cannot be read as a URL") from None
    # urlsplit accepts spaces and an empty query; a path appended to such a URL would be part of the query.
    unusual = not url.isprintable() or any(letter in url for letter in " ?#")
    if parts.scheme not in {"http", "https"} or not host or unusual or parts.username is not None:
        raise ConfigurationError("base_url: must be http(s)://host[:port][/path], without credentials or a query")
    if parts.scheme == "http" and not _is_loopback(host):
        # Without TLS, everyone on the network can read the token.
        raise ConfigurationError("base_url: without TLS, only a loopback host is allowed")
    if environment in BASE_URLS and (host == PRODUCTION_HOST) != (environment == "production"):
        raise ConfigurationError(f"base_url and environment: {host} is not the bank's {environment} environment")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@attrs.frozen(kw_only=True)
class Settings:
    """Settings from environment variables; each can be missing."""

    client_id: str | None = None
    client_secret: str | None = attrs.field(default=None, repr=False)
    scope: str | None = None
    environment: str | None = None
    base_url: str | None = None
    webhook_secrets: tuple[str, ...] = attrs.field(default=(), repr=False)
    inbox: str | None = attrs.field(default=None, repr=False)  # a database URL can carry a password

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "Settings":
        """Read ``LEAD_CLIENT_ID``, ``LEAD_CLIENT_SECRET``, ``LEAD_ENVIRONMENT`` and the other ``LEAD_`` variables.

        Args:
            env: the mapping to read; ``os.environ`` if left out. An empty value counts as missing.
        """
        found = {name: value for name, value in (os.environ if env is None else env).items() if value}
        return cls(
            client_id=found.get("LEAD_CLIENT_ID"),
            client_secret=found.get("LEAD_CLIENT_SECRET"),
            scope=found.get("LEAD_SCOPE"),
            environment=found.get("LEAD_ENVIRONMENT"),
            base_url=found.get("LEAD_BASE_URL"),
            webhook_secrets=tuple(
                s for part in found.get("LEAD_WEBHOOK_SECRETS", "").split(",") if (s := part.strip())
            ),
            inbox=found.get("LEAD_INBOX"),
        )

"""Where the bank is and how to be known to it: from arguments, or from a mapping such as ``os.environ``."""

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

WEBHOOK_SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "sandbox": ("34.234.237.195",),
    "production": ("3.216.219.186",),
}
"""The IP addresses from which each environment sends its webhooks, for an allow-list."""

SCOPES: Final = "instant_payment/read_write event/read"
"""What a token is asked to allow: all that this SDK calls, and no more."""


def _positive(_: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ConfigurationError(f"{attribute.name}: must be a positive number of seconds")


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long to wait, in seconds.

    A payment settles in twenty seconds, so an answer that takes longer than ``read`` is better asked for again
    with the same key; ``deadline`` bounds a call with all its attempts and pauses.
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
    """Find the bank's address.

    Args:
        environment: ``sandbox`` or ``production``; ignored where ``url`` is given.
        url: an address of its own, such as a pretend bank's.

    Returns:
        The address, without a slash at its end.

    Raises:
        ConfigurationError: neither is known, or the URL is not absolute, carries more than a path, or has no TLS
            although its host is not loopback.
    """
    if url is None:
        found = BASE_URLS.get(environment or "")
        if found is None:
            raise ConfigurationError(f"environment: must be one of {', '.join(sorted(BASE_URLS))}")
        return found
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")  # else it fails at each call, where nobody can tell what was sent
    except ValueError:
        raise ConfigurationError(
            "base_url: cannot be read as a URL"
        ) from None  # its cause quotes what may be a password
    # urlsplit forgives spaces and an empty query; what is built on top of such an address would be another one.
    strange = not url.isprintable() or any(letter in url for letter in " ?#")
    if parts.scheme not in {"http", "https"} or not host or strange or parts.username is not None:
        raise ConfigurationError("base_url: must be http(s)://host[:port][/path], without credentials or a query")
    if parts.scheme == "http" and not _is_loopback(host):
        # A token in clear text is everybody's token.
        raise ConfigurationError("base_url: without TLS only a loopback host may be called")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@attrs.frozen(kw_only=True)
class Settings:
    """What the environment says; every part can be missing."""

    client_id: str | None = None
    client_secret: str | None = attrs.field(default=None, repr=False)
    environment: str = "sandbox"
    base_url: str | None = None
    webhook_secrets: tuple[str, ...] = attrs.field(default=(), repr=False)
    inbox: str | None = attrs.field(default=None, repr=False)  # a database URL can carry a password

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "Settings":
        """Read ``LEAD_CLIENT_ID``, ``LEAD_CLIENT_SECRET``, ``LEAD_ENVIRONMENT`` and their like.

        Args:
            env: the mapping to read; ``os.environ`` if left out. An empty value counts as missing.
        """
        found = {name: value for name, value in (os.environ if env is None else env).items() if value}
        return cls(
            client_id=found.get("LEAD_CLIENT_ID"),
            client_secret=found.get("LEAD_CLIENT_SECRET"),
            environment=found.get("LEAD_ENVIRONMENT", "sandbox"),
            base_url=found.get("LEAD_BASE_URL"),
            webhook_secrets=tuple(
                s for part in found.get("LEAD_WEBHOOK_SECRETS", "").split(",") if (s := part.strip())
            ),
            inbox=found.get("LEAD_INBOX"),
        )

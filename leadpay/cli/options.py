"""Options that several commands have."""

from typing import Annotated, Final

from cyclopts import Parameter

from leadpay.client import LeadClient
from leadpay.config import Settings, Timeouts
from leadpay.errors import ConfigurationError

Flag = Parameter(negative="")
"""An option without a value and without a ``--no-`` form."""

AsJson = Annotated[bool, Parameter(name="--json", negative="")]

InboxUrl = Annotated[str | None, Parameter(name="--inbox", env_var="LEAD_INBOX")]

WebhookSecret = Annotated[str | None, Parameter(env_var="LEAD_WEBHOOK_SECRETS")]


TIMEOUTS: Final = Timeouts(deadline=10.0)
"""A person waits at the terminal: ten seconds are enough to see that the bank cannot be reached."""


def client_from_env() -> LeadClient:
    """Make the client of a command that a person waits for.

    Raises:
        ConfigurationError: a setting is missing or contradictory.
    """
    return LeadClient.from_env(timeouts=TIMEOUTS)


def require_inbox_url(url: str | None) -> str:
    """Return the inbox URL.

    Raises:
        ConfigurationError: it is missing.
    """
    if not url:
        raise ConfigurationError("no inbox given: pass --inbox sqlite:///inbox.db, or set LEAD_INBOX")
    return url


def split_secrets(secret: str | None) -> tuple[str, ...]:
    """Split comma-separated signing secrets."""
    return Settings.from_env({"LEAD_WEBHOOK_SECRETS": secret or ""}).webhook_secrets


def signing_secret(secret: str | None) -> str:
    """Return the secret to sign with: the first one.

    Raises:
        ConfigurationError: there is none.
    """
    secrets = split_secrets(secret)
    if not secrets:
        raise ConfigurationError("no signing secret given: pass --secret, or set LEAD_WEBHOOK_SECRETS")
    return secrets[0]

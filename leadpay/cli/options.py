"""Options that several commands have."""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter, Token

from leadpay.cli.output import print_line
from leadpay.client import LeadClient
from leadpay.config import Settings, Timeouts
from leadpay.errors import ConfigurationError

Flag = Parameter(negative="")
"""An option without a value and without a ``--no-`` form."""

AsJson = Annotated[bool, Parameter(name="--json", negative="")]

InboxUrl = Annotated[str | None, Parameter(name="--inbox", env_var="LEAD_INBOX")]

OutboxUrl = Annotated[str | None, Parameter(name="--outbox", env_var="LEAD_OUTBOX")]


def read_secret(_: Any, tokens: Sequence[Token]) -> str:
    """Read ``@FILE`` and ``-`` of an option that takes a secret, which should not be on the command line itself.

    Raises:
        ValueError: the file cannot be read.
    """
    token = tokens[0]
    if token.source == "cli" and (token.value == "-" or token.value.startswith("@")):
        try:
            text = sys.stdin.read() if token.value == "-" else Path(token.value[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise ValueError(f"{token.value} cannot be read: {type(error).__name__}") from None
        return ",".join(text.split())
    return token.value


WebhookSecret = Annotated[str | None, Parameter(env_var="LEAD_WEBHOOK_SECRETS", converter=read_secret)]

ClientSecret = Annotated[str | None, Parameter(env_var="LEAD_CLIENT_SECRET", converter=read_secret)]

SECRET_OPTIONS: Final = {
    "--secret": "LEAD_WEBHOOK_SECRETS",
    "--webhook-secret": "LEAD_WEBHOOK_SECRETS",
    "--client-secret": "LEAD_CLIENT_SECRET",
}
"""Options whose value is a secret, and the environment variable to use instead."""

_PASSWORD: Final = re.compile(r"\w+://[^/@\s:]*:[^/@\s]+@|\bpassword\s*=", re.IGNORECASE)
"""A URL or a connection string that holds a password."""


def exposed_secrets(arguments: Sequence[str]) -> Iterator[str]:
    """Warn of secrets on the command line, which every user of the machine can read, and the shell's history keeps."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, has_value, value = argument.partition("=")
        if name in SECRET_OPTIONS:
            given = value if has_value else following
            if given and given != "-" and not given.startswith("@"):
                yield f"{name}: others can read a secret on the command line; set {SECRET_OPTIONS[name]}, or give @FILE"
        elif _PASSWORD.search(argument):
            yield "others can read a password on the command line; set LEAD_INBOX, or use ~/.pgpass"


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


def require_outbox_url(url: str | None) -> str:
    """Return the outbox URL.

    Raises:
        ConfigurationError: it is missing.
    """
    if not url:
        raise ConfigurationError("no outbox given: pass --outbox sqlite:///outbox.db, or set LEAD_OUTBOX")
    return url


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask a person, unless ``--yes`` was given.

    Raises:
        ConfigurationError: standard input is no terminal, so that no person can be asked.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigurationError("this sends money: confirm it with --yes where no person can be asked")
    print_line(f"{question} [y/N]", file=sys.stderr)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


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
        raise ConfigurationError("no signing secret given: set LEAD_WEBHOOK_SECRETS, or pass --secret @FILE")
    return secrets[0]

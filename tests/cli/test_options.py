"""Options that several commands have."""

import io
from pathlib import Path
from typing import Any

import pytest
from cyclopts import Token

from leadpay.cli.options import exposed_secrets, read_secret, require_inbox_url, signing_secret, split_secrets
from leadpay.errors import ConfigurationError


def test_secrets_are_separated_by_commas() -> None:
    """Spaces and empty parts are ignored; the first secret signs."""
    assert split_secrets(" whsec_1, ,whsec_2") == ("whsec_1", "whsec_2")
    assert signing_secret("whsec_1,whsec_2") == "whsec_1"


@pytest.mark.parametrize("secret", [None, "", " , "])
def test_a_missing_secret_is_an_error(secret: str | None) -> None:
    """The message names the option and the variable."""
    with pytest.raises(ConfigurationError, match="set LEAD_WEBHOOK_SECRETS, or pass --secret @FILE"):
        signing_secret(secret)


@pytest.mark.parametrize("url", [None, ""])
def test_a_missing_inbox_is_an_error(url: str | None) -> None:
    """The message names the option and the variable."""
    with pytest.raises(ConfigurationError, match=r"--inbox sqlite:///inbox\.db, or set LEAD_INBOX"):
        require_inbox_url(url)
    assert require_inbox_url("sqlite:///x.db") == "sqlite:///x.db"


def test_a_secret_is_read_from_a_file_or_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it is not on the command line; a line each, or commas. A variable's value is taken as it is."""
    (tmp_path / "secrets").write_text("whsec_1\nwhsec_2\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("whsec_3\n"))

    def read(value: str, source: str = "cli") -> str:
        return read_secret(str, [Token(value=value, source=source)])

    assert read(f"@{tmp_path}/secrets") == "whsec_1,whsec_2"
    assert read("-") == "whsec_3"
    assert (read("whsec_4"), read("@x", "env"), read("-", "env")) == ("whsec_4", "@x", "-")
    with pytest.raises(ValueError, match="@missing cannot be read: FileNotFoundError"):
        read("@missing")


@pytest.mark.parametrize(
    ("arguments", "warning"),
    [
        (["--secret", "whsec_1"], "--secret: "),
        (["--webhook-secret=whsec_1"], "--webhook-secret: "),
        (["--client-secret", "mine"], "--client-secret: "),
        (["--inbox", "postgresql://me:hush@db/x"], "a password"),
        (["--inbox=host=db password=hush"], "a password"),
        (["--secret", "-"], None),
        (["--secret=@file"], None),
        (["--secret"], None),
        (["--inbox", "postgresql://me@db/x", "--to", "http://127.0.0.1:8080/x"], None),
    ],
)
def test_a_secret_on_the_command_line_is_warned_of(arguments: list[str], warning: str | None) -> None:
    """The warning names what to do instead, and quotes nothing."""
    found: Any = list(exposed_secrets(arguments))
    assert len(found) == (warning is not None)
    assert all(one.startswith((warning or "", f"others can read {warning}")) for one in found)
    assert not any(secret in "".join(found) for secret in ("whsec_1", "mine", "hush"))

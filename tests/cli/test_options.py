"""Options that several commands have."""

import pytest

from leadpay.cli.options import require_inbox_url, signing_secret, split_secrets
from leadpay.errors import ConfigurationError


def test_secrets_are_separated_by_commas() -> None:
    """Spaces and empty parts are ignored; the first secret signs."""
    assert split_secrets(" whsec_1, ,whsec_2") == ("whsec_1", "whsec_2")
    assert signing_secret("whsec_1,whsec_2") == "whsec_1"


@pytest.mark.parametrize("secret", [None, "", " , "])
def test_a_missing_secret_is_an_error(secret: str | None) -> None:
    """The message names the option and the variable."""
    with pytest.raises(ConfigurationError, match="--secret, or set LEAD_WEBHOOK_SECRETS"):
        signing_secret(secret)


@pytest.mark.parametrize("url", [None, ""])
def test_a_missing_inbox_is_an_error(url: str | None) -> None:
    """The message names the option and the variable."""
    with pytest.raises(ConfigurationError, match=r"--inbox sqlite:///inbox\.db, or set LEAD_INBOX"):
        require_inbox_url(url)
    assert require_inbox_url("sqlite:///x.db") == "sqlite:///x.db"

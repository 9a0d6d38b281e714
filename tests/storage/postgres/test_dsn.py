"""Reading a PostgreSQL URL."""

import pytest

from leadpay.errors import ConfigurationError
from leadpay.inbox.postgres import PostgresInbox


def test_a_password_is_in_no_repr_and_no_error() -> None:
    """Neither in a repr nor in what is said of a URL that cannot be read."""
    assert repr(PostgresInbox("postgresql://me:hush@db:99/lead")) == "PostgresInbox(db:99/lead)"
    for wrong in ("postgresql://me:hush@db:hush@/lead", "hush", "postgresql://me:hu:sh@db:hush/lead"):
        with pytest.raises(ConfigurationError, match="cannot be read") as caught:
            PostgresInbox(wrong)
        assert "hush" not in str(caught.value)

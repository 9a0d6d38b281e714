"""Reading a store's URL."""

import pytest

from leadpay.errors import ConfigurationError
from leadpay.inbox import open_inbox
from leadpay.storage import version_table


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///", "mysql://root:hunter2@host/x", "inbox.db"])
def test_a_url_of_another_kind_is_refused_and_not_quoted(url: str) -> None:
    """What was meant may hold a password, so it is not quoted."""
    with pytest.raises(ConfigurationError, match="must begin with") as raised:
        open_inbox(url)
    assert "hunter2" not in str(raised.value)


def test_each_package_has_a_table_for_its_schema_version() -> None:
    """An inbox and an outbox in one database are upgraded apart."""
    assert version_table("leadpay.inbox") == "leadpay_schema"
    assert version_table("leadpay.outbox") == "leadpay_outbox_schema"

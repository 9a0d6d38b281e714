"""What is found under ``leadpay.inbox`` and under ``leadpay``."""

import subprocess
import sys

import pytest

import leadpay
from leadpay import inbox
from leadpay.inbox.postgres import PostgresInbox
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.inbox.worker import Worker


def test_the_parts_are_found_where_they_are_looked_for() -> None:
    """Without loading a database before it is used."""
    assert inbox.SqliteInbox is SqliteInbox
    assert inbox.PostgresInbox is PostgresInbox
    assert inbox.Worker is Worker
    assert leadpay.open_inbox is inbox.open_inbox
    with pytest.raises(AttributeError, match="no attribute 'OracleInbox'"):
        _ = inbox.OracleInbox
    code = "import sys, leadpay.inbox\nassert not {'leadpay.inbox.sqlite', 'psycopg', 'aiohttp'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code

"""The public names of the inbox, and the choice of a store."""

import subprocess
import sys

import pytest

import leadpay
from leadpay import inbox
from leadpay.inbox import open_inbox
from leadpay.inbox.postgres import PostgresInbox
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.inbox.worker import Worker


def test_public_names_are_found_without_loading_a_database() -> None:
    """Without loading a database before it is used."""
    assert inbox.SqliteInbox is SqliteInbox
    assert inbox.PostgresInbox is PostgresInbox
    assert inbox.Worker is Worker
    assert leadpay.open_inbox is inbox.open_inbox
    with pytest.raises(AttributeError, match="no attribute 'OracleInbox'"):
        _ = inbox.OracleInbox
    code = "import sys, leadpay.inbox\nassert not {'leadpay.inbox.sqlite', 'psycopg', 'aiohttp'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code


def test_a_missing_library_is_named() -> None:
    """Without psycopg, or without its pool, it says what to install."""
    for missing in ("psycopg", "psycopg_pool"):
        code = (
            f"import sys; sys.modules[{missing!r}] = None; from leadpay import open_inbox; open_inbox('postgres://x/y')"
        )
        ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)  # noqa: S603 - our own
        assert "ConfigurationError: PostgreSQL needs: pip install 'leadpay[postgres]'" in ran.stderr


def test_a_url_names_a_relative_or_absolute_path() -> None:
    """Three slashes and a path, or four for an absolute one; percent signs as in any URL."""
    for url, path in (("sqlite:///a/b.db", "a/b.db"), ("sqlite:////a/b%20c.db", "/a/b c.db")):
        inbox = open_inbox(url)
        assert isinstance(inbox, SqliteInbox)
        assert inbox.path == path

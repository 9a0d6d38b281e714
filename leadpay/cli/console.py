"""``leadpay console``: a page about an inbox and an outbox; and the page that ``leadpay sandbox`` serves."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from leadpay.cli.options import InboxUrl
from leadpay.cli.output import print_line
from leadpay.cli.serve import client_if_configured
from leadpay.cli.signals import stop_event
from leadpay.errors import ConfigurationError
from leadpay.inbox import open_inbox
from leadpay.outbox import open_outbox
from leadpay.storage import parse_url

if TYPE_CHECKING:
    from leadpay.sandbox import Sandbox


async def console(
    *,
    inbox_url: InboxUrl = None,
    outbox_url: Annotated[str | None, Parameter(name="--outbox", env_var="LEAD_OUTBOX")] = None,
    host: Annotated[str, Parameter(env_var="LEAD_CONSOLE_HOST")] = "127.0.0.1",
    port: Annotated[int, Parameter(env_var="LEAD_CONSOLE_PORT")] = 8766,
) -> None:
    """Serve a page about an inbox and an outbox, until Ctrl-C.

    People sign in with the token in LEAD_CONSOLE_TOKEN (may act) or LEAD_CONSOLE_READ_ONLY_TOKEN (may look). Without a
    token, only this machine can open the page. With LEAD_CLIENT_ID and LEAD_CLIENT_SECRET, the page can ask the bank
    about a payment.

    Args:
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        outbox_url: The outbox, such as sqlite:///outbox.db or postgresql://host/database.
        host: Address to listen on.
        port: Port to listen on; 0 for any free port.
    """
    app, access = _page_modules()
    auth = access.TokenAuth.from_env()
    if auth is None and not access.is_loopback(host):
        raise ConfigurationError("the console needs LEAD_CONSOLE_TOKEN to listen on an address that others can reach")
    if not inbox_url and not outbox_url:
        raise ConfigurationError("nothing to show: pass --inbox or --outbox, or set LEAD_INBOX or LEAD_OUTBOX")
    async with AsyncExitStack() as stack:
        stopped = await stack.enter_async_context(stop_event())
        made = app.make(
            inbox=await stack.enter_async_context(open_inbox(_existing(inbox_url))) if inbox_url else None,
            outbox=await stack.enter_async_context(open_outbox(_existing(outbox_url))) if outbox_url else None,
            lead=await stack.enter_async_context(client_if_configured()),
            auth=auth or access.loopback,
        )
        url = await stack.enter_async_context(app.listening(made, host=host, port=port))
        print_line(f"the console is at {url}")
        await stopped.wait()


@asynccontextmanager
async def sandbox_console(bank: "Sandbox", *, host: str, port: int | None, next_to: int) -> AsyncIterator[str]:
    """Serve the page of a simulated bank while the context lasts, and yield its URL.

    Args:
        bank: the bank.
        host: the bank's host; without a token, the page listens on loopback only.
        port: the port; None for the one after the bank's or, if that is in use, any.
        next_to: the bank's port.

    Raises:
        ConfigurationError: the extra is not installed.
        OSError: the port is in use.
    """
    app, access = _page_modules()
    auth = access.TokenAuth.from_env()
    made = app.make(sandbox=bank, auth=auth or access.loopback)
    where = host if auth or access.is_loopback(host) else "127.0.0.1"
    async with AsyncExitStack() as stack:
        first = port if port is not None else next_to + 1 if next_to else 0
        try:
            url = await stack.enter_async_context(app.listening(made, host=where, port=first))
        except OSError:
            if port is not None:
                raise
            url = await stack.enter_async_context(app.listening(made, host=where))
        yield url


def has_console() -> bool:
    """Whether the page's extra is installed."""
    return find_spec("jinja2") is not None


def _page_modules() -> tuple[Any, Any]:
    """Import the page, which the command works without.

    Raises:
        ConfigurationError: its extra is not installed.
    """
    if not has_console():
        raise ConfigurationError("the console needs its extra: pip install 'leadpay[console]'")
    return import_module("leadpay.console.app"), import_module("leadpay.console.access")


def _existing(url: str) -> str:
    """Give the URL of a database that exists: looking creates nothing.

    Raises:
        ConfigurationError: the file does not exist.
    """
    dialect, location = parse_url(url)
    if dialect == "sqlite" and not Path(location).is_file():
        raise ConfigurationError(f"{location}: no such file")
    return url

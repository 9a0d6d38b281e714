"""``leadpay serve``: receive webhooks and run handlers."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Annotated

from cyclopts import Parameter

from leadpay.cli.backfill import demand_since
from leadpay.cli.importer import import_router
from leadpay.cli.options import Flag, WebhookSecret, split_secrets
from leadpay.cli.output import print_line
from leadpay.cli.signals import stop_event
from leadpay.client import LeadClient
from leadpay.config import Settings
from leadpay.errors import ConfigurationError
from leadpay.inbox import open_inbox
from leadpay.inbox.backfill import backfilling
from leadpay.inbox.worker import Worker
from leadpay.webhooks.aiohttp import listening
from leadpay.webhooks.receiver import PATH, WebhookReceiver


async def serve(
    router: str,
    *,
    host: Annotated[str, Parameter(env_var="LEAD_HOST")] = "127.0.0.1",
    port: Annotated[int, Parameter(env_var="LEAD_PORT")] = 8080,
    path: Annotated[str, Parameter(env_var="LEAD_WEBHOOK_PATH")] = PATH,
    secret: WebhookSecret = None,
    inbox: Annotated[str | None, Parameter(env_var="LEAD_INBOX")] = None,
    receive: Annotated[bool, Flag] = False,
    work: Annotated[bool, Flag] = False,
    backfill: Annotated[bool, Flag] = False,
    since: Annotated[datetime | None, Parameter(env_var="LEAD_BACKFILL_SINCE")] = None,
) -> None:
    """Receive webhooks and run a router's handlers, until Ctrl-C.

    With --inbox, webhooks are stored first and handled afterwards. Handlers have a client in their context if
    LEAD_CLIENT_ID and LEAD_CLIENT_SECRET are set.

    Args:
        router: The router, as MODULE:NAME.
        host: Address to listen on.
        port: Port to listen on; 0 for any free port.
        path: Path of the webhook endpoint.
        secret: The signing secret. While you rotate it: the new and the old one, separated by a comma.
        inbox: Where to store events, such as sqlite:///inbox.db or postgresql://host/database.
        receive: Only receive and store; another process runs the handlers.
        work: Only run the handlers; another process receives.
        backfill: Fetch missed events from the bank's event list, now and every 15 minutes.
        since: Where the first backfill of an inbox begins, in local time without an offset; ignored after that.
    """
    handlers = import_router(router)
    if inbox is None and (receive or work or backfill):
        raise ConfigurationError("--receive, --work and --backfill need an inbox: --inbox, or LEAD_INBOX")
    if receive and work:
        raise ConfigurationError("--receive and --work contradict each other: to do both, leave both out")
    async with AsyncExitStack() as stack:
        stopped = await stack.enter_async_context(stop_event())
        store = None if inbox is None else await stack.enter_async_context(open_inbox(inbox))
        lead = None if store is None else await stack.enter_async_context(client_if_configured())
        if store is not None and backfill:
            if lead is None:
                raise ConfigurationError("--backfill needs LEAD_CLIENT_ID and LEAD_CLIENT_SECRET")
            await demand_since(store, since)
            await stack.enter_async_context(backfilling(lead, store, since=since and since.astimezone()))
        if store is not None and work:
            await stack.enter_async_context(Worker(store, handlers, client=lead))
            print_line("working on the inbox")
        else:
            secrets = split_secrets(secret)
            receiver = WebhookReceiver(handlers, secrets=secrets, inbox=store, client=lead, work=not receive)
            url = await stack.enter_async_context(listening(receiver, host=host, port=port, path=path))
            print_line(f"receiving webhooks at {url}")
        await stopped.wait()


@asynccontextmanager
async def client_if_configured() -> AsyncIterator[LeadClient | None]:
    """Yield a client from the environment, or None if the credentials are not set."""
    settings = Settings.from_env()
    if settings.client_id is None or settings.client_secret is None:
        yield None
        return
    async with LeadClient.from_env() as lead:
        yield lead

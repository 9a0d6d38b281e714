"""``leadpay serve`` and ``leadpay check``: your handlers."""

import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

from cyclopts import Parameter

from leadpay.cli.look import AsJson
from leadpay.cli.screen import say, say_json, until_stopped
from leadpay.client import LeadClient
from leadpay.config import Settings
from leadpay.errors import ConfigurationError
from leadpay.inbox import open_inbox
from leadpay.inbox.backfill import backfilling
from leadpay.inbox.worker import Worker
from leadpay.webhooks.aiohttp import PATH, listening
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.route import Route
from leadpay.webhooks.router import WebhookRouter

Switch = Parameter(negative="")


async def serve(
    router: str,
    *,
    host: Annotated[str, Parameter(env_var="LEAD_HOST")] = "127.0.0.1",
    port: Annotated[int, Parameter(env_var="LEAD_PORT")] = 8080,
    path: Annotated[str, Parameter(env_var="LEAD_WEBHOOK_PATH")] = PATH,
    secret: Annotated[str | None, Parameter(env_var="LEAD_WEBHOOK_SECRETS")] = None,
    inbox: Annotated[str | None, Parameter(env_var="LEAD_INBOX")] = None,
    receive: Annotated[bool, Switch] = False,
    work: Annotated[bool, Switch] = False,
    backfill: Annotated[bool, Switch] = False,
) -> None:
    """Receive webhooks and run a router's handlers, until Ctrl-C.

    With an inbox, what is received is stored first and handled then; handlers find a client in their context if
    LEAD_CLIENT_ID and LEAD_CLIENT_SECRET are set.

    Args:
        router: Where the router is, as MODULE:NAME.
        host: Address to listen on.
        port: Port to listen on; 0 for any that is free.
        path: Path to receive webhooks at.
        secret: The signing secret; several, separated by commas, while one is being rotated out.
        inbox: Where to keep events, such as sqlite:///inbox.db or postgresql://host/database
        receive: Only receive into the inbox; another process works on it.
        work: Only work on the inbox; another process receives.
        backfill: Fetch what was missed from the bank's event list, now and every quarter of an hour.
    """
    handlers = find_router(router)
    if inbox is None and (receive or work or backfill):
        raise ConfigurationError("--receive, --work and --backfill need an inbox: --inbox or LEAD_INBOX")
    if receive and work:
        raise ConfigurationError("--receive and --work: leave both out to do both")
    async with AsyncExitStack() as stack:
        stopped = await stack.enter_async_context(until_stopped())
        kept = None if inbox is None else await stack.enter_async_context(open_inbox(inbox))
        lead = None if kept is None else await stack.enter_async_context(client_if_any())
        if kept is not None and backfill:
            if lead is None:
                raise ConfigurationError("--backfill needs LEAD_CLIENT_ID and LEAD_CLIENT_SECRET")
            await stack.enter_async_context(backfilling(lead, kept))
        if kept is not None and work:
            await stack.enter_async_context(Worker(kept, handlers, client=lead))
            say("working on the inbox")
        else:
            secrets = Settings.from_env({"LEAD_WEBHOOK_SECRETS": secret or ""}).webhook_secrets
            receiver = WebhookReceiver(handlers, secrets=secrets, inbox=kept, client=lead, work=not receive)
            url = await stack.enter_async_context(listening(receiver, host=host, port=port, path=path))
            say(f"receiving webhooks at {url}")
        await stopped.wait()


@asynccontextmanager
async def client_if_any() -> AsyncIterator[LeadClient | None]:
    """Make a client from the environment, if it has credentials."""
    settings = Settings.from_env()
    if settings.client_id is None or settings.client_secret is None:
        yield None
        return
    async with LeadClient.from_env() as lead:
        yield lead


def check(router: str, *, as_json: AsJson = False) -> int:
    """List a router's routes, and name the mandatory events that nobody handles (exit status 1).

    Args:
        router: Where the router is, as MODULE:NAME.
        as_json: One object, for programs.
    """
    found = find_router(router)
    missing = found.unhandled_mandatory()
    if as_json:
        say_json({"routes": [facts(route) for route in found.routes()], "missing": missing})
        return int(bool(missing))
    for route in found.routes():
        types = " ".join(route.patterns) or "(unhandled)"
        filters = route.describe_filters()
        say(f"{types}  {route.name}" + (f"  [{filters}]" if filters else ""))
    for event_type in missing:
        say(f"MISSING: the bank makes {event_type} mandatory (incoming), and no handler takes it")
    return int(bool(missing))


def facts(route: Route) -> dict[str, object]:
    """Put a route into JSON."""
    return {
        "handler": route.name,
        "router": route.router.name,
        "events": route.patterns,
        "filters": route.describe_filters(),
        "retries": route.retries,
        "timeout": route.timeout,
    }


def find_router(place: str) -> WebhookRouter:
    """Import a router from MODULE:NAME, the current folder included.

    Raises:
        ConfigurationError: there is none.
    """
    module, _, name = place.partition(":")
    if not module or not name:
        raise ConfigurationError(f"{place}: must be MODULE:NAME, such as handlers:router")
    sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ConfigurationError(f"{module}: there is no such module here") from None
    if not isinstance(found, WebhookRouter):
        raise ConfigurationError(f"{place}: is not a WebhookRouter")
    return found

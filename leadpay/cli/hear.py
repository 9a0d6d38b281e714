"""``leadpay serve`` and ``leadpay check``: your handlers."""

import importlib
import sys
from typing import Annotated

from cyclopts import Parameter

from leadpay.cli.screen import say, until_stopped
from leadpay.config import Settings
from leadpay.errors import ConfigurationError
from leadpay.webhooks.aiohttp import PATH, listening
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter


async def serve(
    router: str,
    *,
    host: Annotated[str, Parameter(env_var="LEAD_HOST")] = "127.0.0.1",
    port: Annotated[int, Parameter(env_var="LEAD_PORT")] = 8080,
    path: Annotated[str, Parameter(env_var="LEAD_WEBHOOK_PATH")] = PATH,
    secret: Annotated[str | None, Parameter(env_var="LEAD_WEBHOOK_SECRETS")] = None,
) -> None:
    """Receive webhooks and run a router's handlers, until Ctrl-C.

    Args:
        router: Where the router is, as MODULE:NAME.
        host: Address to listen on.
        port: Port to listen on; 0 for any that is free.
        path: Path to receive webhooks at.
        secret: The signing secret; several, separated by commas, while one is being rotated out.
    """
    secrets = Settings.from_env({"LEAD_WEBHOOK_SECRETS": secret or ""}).webhook_secrets
    receiver = WebhookReceiver(find_router(router), secrets=secrets)
    async with until_stopped() as stopped, listening(receiver, host=host, port=port, path=path) as url:
        say(f"receiving webhooks at {url}")
        await stopped.wait()


def check(router: str) -> int:
    """List a router's routes, and name the mandatory events that nobody handles (exit status 1).

    Args:
        router: Where the router is, as MODULE:NAME.
    """
    found = find_router(router)
    for route in found.routes():
        types = " ".join(route.patterns) or "(unhandled)"
        filters = route.describe_filters()
        say(f"{types}  {route.name}" + (f"  [{filters}]" if filters else ""))
    missing = found.unhandled_mandatory()
    for event_type in missing:
        say(f"MISSING: the bank makes {event_type} mandatory (incoming), and no handler takes it")
    return 1 if missing else 0


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

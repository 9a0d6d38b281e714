"""The ``leadpay`` command."""

import asyncio
import importlib
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from aiohttp import web
from cyclopts import App, Parameter

from leadpay import __version__, demo
from leadpay.config import Settings
from leadpay.errors import ConfigurationError, LeadError
from leadpay.sandbox import Sandbox, describe
from leadpay.webhooks.aiohttp import PATH, mount
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter

USER_MISTAKE = 2
"""The exit status for what the user can mend: a setting, a name, a port that is taken."""

app = App(
    name="leadpay",
    version=__version__,
    help_format="plaintext",
    help="Lead Bank's instant payments: a pretend bank, and your handlers.",
)


@app.command(name="demo")
async def play_demo(*, delay: float = 0.1) -> int:
    """Play the main job on the pretend bank, over real sockets, in a few seconds.

    Args:
        delay: Seconds between the bank's steps.
    """
    return 0 if await demo.play(_say, delay=delay) else 1


@app.command(help=f"Run the pretend bank until Ctrl-C, and print the environment variables to paste.\n\n{describe()}")
async def sandbox(
    *,
    host: Annotated[str, Parameter(env_var="LEAD_SANDBOX_HOST")] = "127.0.0.1",
    port: Annotated[int, Parameter(env_var="LEAD_SANDBOX_PORT")] = 8765,
    webhook_url: Annotated[str | None, Parameter(env_var="LEAD_WEBHOOK_URL")] = None,
    webhook_secret: Annotated[str | None, Parameter(env_var="LEAD_WEBHOOK_SECRETS")] = None,
    client_id: Annotated[str | None, Parameter(env_var="LEAD_CLIENT_ID")] = None,
    client_secret: Annotated[str | None, Parameter(env_var="LEAD_CLIENT_SECRET")] = None,
    delay: Annotated[float, Parameter(env_var="LEAD_SANDBOX_DELAY")] = 1.0,
    strict: bool = False,
    seed: int | None = None,
    fault: Sequence[str] = (),
) -> None:
    """Run the pretend bank.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 for any that is free.
        webhook_url: Where to send webhooks.
        webhook_secret: The secret to sign them with; made up if left out.
        client_id: The OAuth2 client ID to accept; made up if left out.
        client_secret: Its secret; made up if left out.
        delay: Seconds between a payment's changes of state.
        strict: Answer 403 for account numbers that nobody has opened.
        seed: Makes IDs and faults repeatable.
        fault: What goes wrong, such as answer_lost:send:3; may be given several times.
    """
    try:
        bank = Sandbox(
            host=host,
            port=port,
            webhook_url=webhook_url,
            webhook_secret=webhook_secret,
            client_id=client_id,
            client_secret=client_secret,
            delay=delay,
            strict=strict,
            seed=seed,
            faults=fault,
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    async with bank, _until_stopped() as stopped:
        _say(f"export LEAD_BASE_URL={bank.url}")
        _say(f"export LEAD_CLIENT_ID={bank.client_id}")
        _say(f"export LEAD_CLIENT_SECRET={bank.client_secret}")
        _say(f"export LEAD_WEBHOOK_SECRETS={bank.webhook_secret}")
        await stopped.wait()


@app.command
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
    application = web.Application()
    mount(application, WebhookReceiver(_find(router), secrets=secrets), path=path)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        async with _until_stopped() as stopped:
            _say(f"receiving webhooks at http://{host}:{runner.addresses[0][1]}{path}")
            await stopped.wait()
    finally:
        await runner.cleanup()


@app.command
def check(router: str) -> int:
    """List a router's routes, and name the mandatory events that nobody handles (exit status 1).

    Args:
        router: Where the router is, as MODULE:NAME.
    """
    found = _find(router)
    for route in found.routes():
        types = " ".join(route.patterns) or "(unhandled)"
        filters = route.describe_filters()
        _say(f"{types}  {route.name}" + (f"  [{filters}]" if filters else ""))
    missing = found.unhandled_mandatory()
    for event_type in missing:
        _say(f"MISSING: the bank makes {event_type} mandatory (incoming), and no handler takes it")
    return 1 if missing else 0


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit; a user's mistake ends in one line, not in a traceback."""
    command, bound, *_ = app.parse_args(sys.argv[1:] if arguments is None else list(arguments))
    try:
        result: Any = command(*bound.args, **bound.kwargs)
        if asyncio.iscoroutine(result):
            result = asyncio.run(result)
    except (LeadError, OSError) as error:
        _say(f"leadpay: {error}", file=sys.stderr)
        sys.exit(USER_MISTAKE)
    sys.exit(result if isinstance(result, int) else 0)


def _find(place: str) -> WebhookRouter:
    """Import a router from MODULE:NAME, the current folder included."""
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


@asynccontextmanager
async def _until_stopped() -> AsyncIterator[asyncio.Event]:
    """Give an event that Ctrl-C and SIGTERM set."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _say(text: str, *, file: Any = None) -> None:
    print(text, file=file, flush=True)

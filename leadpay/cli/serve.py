"""``leadpay serve``: receive webhooks and run handlers."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
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
from leadpay.health import Health
from leadpay.inbox import open_inbox
from leadpay.inbox.backfill import backfilling
from leadpay.inbox.worker import Worker
from leadpay.instrumentation import HandlerEnded, Observation, Observer, WebhookReceived, notify
from leadpay.webhooks.aiohttp import listening, monitoring
from leadpay.webhooks.receiver import PATH, WebhookReceiver
from leadpay.webhooks.router import WebhookRouter


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
    metrics: Annotated[str | None, Parameter(env_var="LEAD_METRICS")] = None,
    verbose: Annotated[bool, Flag] = False,
) -> None:
    """Receive webhooks and run a router's handlers, until Ctrl-C.

    With --inbox, webhooks are stored first and handled afterwards. Handlers have a client in their context if
    LEAD_CLIENT_ID and LEAD_CLIENT_SECRET are set. /healthz and /readyz say whether the process is alive and ready.

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
        metrics: Where to serve /metrics for Prometheus, and /healthz and /readyz, such as :9464 (on the address that
            --host names) or 10.0.0.5:9464.
        verbose: Print one line for each event that is received, and for each attempt of a handler.
    """
    handlers = import_router(router)
    if inbox is None and (receive or work or backfill):
        raise ConfigurationError("--receive, --work and --backfill need an inbox: --inbox, or LEAD_INBOX")
    if receive and work:
        raise ConfigurationError("--receive and --work contradict each other: to do both, leave both out")
    monitored = None if metrics is None else Monitored(handlers, metrics, host)
    observer = together(*([monitored.metrics] if monitored else []), *([print_observation] if verbose else []))
    async with AsyncExitStack() as stack:
        stopped = await stack.enter_async_context(stop_event())
        store = None if inbox is None else await stack.enter_async_context(open_inbox(inbox))
        lead = None if store is None else await stack.enter_async_context(client_if_configured(observer))
        if store is not None and backfill:
            if lead is None:
                raise ConfigurationError("--backfill needs LEAD_CLIENT_ID and LEAD_CLIENT_SECRET")
            await demand_since(store, since)
            await stack.enter_async_context(backfilling(lead, store, since=since and since.astimezone()))
        if store is not None and work:
            worker = await stack.enter_async_context(Worker(store, handlers, client=lead, observer=observer))
            health = Health(inbox=store, worker=worker)
            print_line("working on the inbox")
        else:
            receiver = WebhookReceiver(
                handlers,
                secrets=split_secrets(secret),
                inbox=store,
                client=lead,
                work=not receive,
                observer=observer,
            )
            health = Health(receiver=receiver, inbox=store)
            listens = listening(receiver, host=host, port=port, path=path, health=health)
            print_line(f"receiving webhooks at {await stack.enter_async_context(listens)}")
        if monitored is not None:
            print_line(f"metrics at {await stack.enter_async_context(monitored.serve(health))}")
        await stopped.wait()


class Monitored:
    """What ``--metrics`` serves, and where.

    Raises:
        ConfigurationError: the address cannot be read, or the extra is not installed.
    """

    def __init__(self, router: WebhookRouter, address: str, default_host: str) -> None:
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdecimal():
            raise ConfigurationError(f"--metrics {address}: must be HOST:PORT or :PORT")
        try:
            from leadpay.metrics import Metrics  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ConfigurationError(f"--metrics: {error}") from None
        self.metrics = Metrics(router)
        self._host, self._port = host.strip("[]") or default_host, int(port)

    def serve(self, health: Health) -> AbstractAsyncContextManager[str]:
        """Serve the metrics, and the health of these parts."""
        return monitoring(self.metrics, health, host=self._host, port=self._port)


def together(*observers: Observer) -> Observer | None:
    """Make one observer of several, None of none."""
    if not observers:
        return None

    def observe(observation: Observation) -> None:
        for observer in observers:
            notify(observer, observation)

    return observe


def print_observation(observation: Observation) -> None:
    """Print a line for an event that was received, and for a handler that ended; strangers get none."""
    if isinstance(observation, WebhookReceived) and observation.event_id is not None:
        name = f"{observation.event_type} {observation.event_id}"
        print_line(f"{name} {observation.payment_id or '-'} -> {observation.status} {observation.result}")
    elif isinstance(observation, HandlerEnded):
        started = observation.started
        error = f" ({observation.error})" if observation.error else ""
        attempt = f"attempt {started.attempt} of {started.handler}"
        print_line(f"{started.event_type} {started.event_id} {attempt}: {observation.status}{error}")


@asynccontextmanager
async def client_if_configured(observer: Observer | None = None) -> AsyncIterator[LeadClient | None]:
    """Yield a client from the environment, or None if the credentials are not set."""
    settings = Settings.from_env()
    if settings.client_id is None or settings.client_secret is None:
        yield None
        return
    async with LeadClient.from_env(observer=observer) as lead:
        yield lead

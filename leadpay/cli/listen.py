"""``leadpay listen``: deliver the events of the bank's event list to an application, as webhooks."""

import asyncio
import time
import uuid
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from cyclopts import Parameter

from leadpay.cli import exit_codes
from leadpay.cli.options import AsJson, Flag, WebhookSecret, client_from_env, signing_secret
from leadpay.cli.output import print_json, print_line, progress
from leadpay.cli.signals import run_until, stop_event
from leadpay.client import LeadClient
from leadpay.client.pagination import UnreadableObject
from leadpay.converter import encode, unstructure
from leadpay.errors import ConfigurationError
from leadpay.models import Event
from leadpay.sandbox import post_webhook
from leadpay.webhooks.signature import sign

OVERLAP: Final = timedelta(minutes=1)
"""How far before the newest event each request begins: the bank may list events a little late."""

MAX_SEEN: Final = 10_000
"""How many event IDs are remembered as delivered: far more than the bank lists in one overlap."""

ATTEMPTS: Final = 3
"""How many times an event is delivered before it counts as refused. The endpoint is local, so there is no pause."""


async def listen(
    *,
    to: Annotated[str, Parameter(env_var="LEAD_WEBHOOK_URL")],
    secret: WebhookSecret = None,
    interval: float = 2.0,
    since: datetime | None = None,
    once: Annotated[bool, Flag] = False,
    as_json: AsJson = False,
) -> int:
    """Poll the bank's event list and deliver each event as a signed webhook to a local URL, until Ctrl-C.

    Args:
        to: The URL of your application's webhook endpoint.
        secret: The signing secret. If it is left out, a new one is generated and printed.
        interval: Seconds between two polls.
        since: Start with events of this time; default: now.
        once: Poll once, deliver, and exit (exit code 1 if an event was refused).
        as_json: Print one JSON object per line.
    """
    if interval <= 0:
        raise ConfigurationError("--interval: must be more than 0 seconds")
    if secret is None:
        secret = f"whsec_{uuid.uuid4().hex}"
        print_line(f"export LEAD_WEBHOOK_SECRETS={secret}")
    start = datetime.now(UTC) if since is None else since.astimezone()
    async with client_from_env() as lead, stop_event() as stopped:
        forwarder = EventForwarder(lead, to, signing_secret(secret), start, as_json=as_json)
        if once:
            await run_until(stopped, forwarder.poll())
            if stopped.is_set():
                return exit_codes.INTERRUPTED
            return exit_codes.NEGATIVE if forwarder.refused else exit_codes.OK
        while not stopped.is_set():
            await run_until(stopped, forwarder.poll())
            await run_until(stopped, asyncio.sleep(interval))
    return exit_codes.OK


class EventForwarder:
    """Delivers new events of the bank's event list, oldest first.

    Args:
        lead: reads the event list.
        url: where to deliver.
        secret: signs the webhooks.
        start: the time of the first event.
        as_json: print JSON instead of text.
    """

    def __init__(self, lead: LeadClient, url: str, secret: str, start: datetime, *, as_json: bool = False) -> None:
        self.refused = 0
        """The number of events that every attempt failed to deliver."""
        self._lead = lead
        self._url = url
        self._secret = secret
        self._start = start
        self._since = start
        self._as_json = as_json
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def poll(self) -> None:
        """Read the event list once, and deliver the new events."""
        found: list[Event] = []
        with progress("events") as show:
            async for page in self._lead.events.list(created_on_or_after=self._since, limit=100).pages():
                found += [event for event in page.objects if event.id not in self._seen]
                show(len(found))
                for unreadable in page.unreadable:
                    await self._deliver_unreadable(unreadable)
        for event in sorted(found, key=lambda one: one.created_at):
            await self._deliver(event)
            self._since = max(self._start, self._since, event.created_at - OVERLAP)

    async def _deliver(self, event: Event) -> None:
        status = await self._post(event.id, encode(unstructure(event)))
        self.refused += exit_codes.for_delivery(status) != exit_codes.OK
        if self._as_json:
            print_json({"id": event.id, "event": str(event.type), "status": status})
        else:
            print_line(f"{event.created_at:%H:%M:%S} {event.type} {event.id} -> {status or 'no response'}")

    async def _deliver_unreadable(self, unreadable: UnreadableObject) -> None:
        """Deliver what the bank would deliver, too: an inbox keeps it. An endpoint without an inbox may refuse it."""
        if unreadable.id is None or unreadable.id not in self._seen:
            status = await self._post(unreadable.id, unreadable.body)
            if self._as_json:
                print_json({"id": unreadable.id, "event": None, "status": status})
            else:
                print_line(f"unreadable {unreadable} -> {status or 'no response'}")

    async def _post(self, event_id: str | None, body: bytes) -> int | None:
        """Deliver a body, with some attempts, and return the last status."""
        status: int | None = None
        for _ in range(ATTEMPTS):
            status = await post_webhook(self._url, body, sign(body, self._secret, int(time.time() * 1000)))
            if exit_codes.for_delivery(status) == exit_codes.OK:
                break
        if event_id is not None:
            self._seen[event_id] = None
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        return status

"""``leadpay trigger`` and ``leadpay listen``: signed webhooks for the application on your desk."""

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import attrs
from cyclopts import Parameter

from leadpay.cli.screen import progress, say, say_json, unless, until_stopped
from leadpay.cli.statuses import FAILED, INTERRUPTED, NOT_SO
from leadpay.client import LeadClient
from leadpay.config import Settings
from leadpay.converter import decode, encode, structure_event, unstructure
from leadpay.errors import ConfigurationError, MalformedResponseError
from leadpay.models import Event, Model
from leadpay.sandbox import post_webhook, sample
from leadpay.sandbox.constants import EVENT_TYPES
from leadpay.webhooks.signature import HEADER, sign

TRIGGER_HELP: Final = f"""Make a signed webhook of any type, and send it (exit status 1 if it is refused).

Types: {", ".join(name.removeprefix("instant_payment.") for name in EVENT_TYPES)}."""

OVERLAP: Final = timedelta(minutes=1)
"""How far behind the newest event each look at the list begins: events may be listed a little late."""

MAX_SEEN: Final = 10_000
"""How many events are remembered as delivered: far more than a minute's."""

ATTEMPTS: Final = 3
"""How often an event is tried at a local address before the next one is."""

Secret = Annotated[str | None, Parameter(env_var="LEAD_WEBHOOK_SECRETS")]


async def trigger(
    event_type: str,
    *,
    direction: str | None = None,
    changes: Annotated[Sequence[str], Parameter(name="--set", negative="")] = (),
    to: Annotated[str | None, Parameter(env_var="LEAD_WEBHOOK_URL")] = None,
    secret: Secret = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Make a signed webhook and send it.

    Args:
        event_type: Such as posted, or ach.returned.
        direction: outgoing or incoming, where the type occurs in both.
        changes: A field of the object and its value, such as amount=5000 or creditor.name="Jo Doe"; several times.
        to: Where to send it; if left out, the header and the body are printed, for curl.
        secret: What to sign with; the first, if there are several.
        as_json: Print one JSON object.
    """
    key = _first(secret)
    try:
        data = sample(event_type, direction=direction, now=time.time(), new_uuid=uuid.uuid4)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    for change in changes:
        change_field(data["object"], change)
    _check(data)
    body = encode(data)
    header = sign(body, key, int(time.time() * 1000))
    if to is None:
        if as_json:
            say_json({"headers": {HEADER: header}, "body": body.decode()})
        else:
            say(f"{HEADER}: {header}\n\n{body.decode()}")
        return 0
    status = await post_webhook(to, body, header)
    if as_json:
        say_json({"id": data["id"], "event": data["event"], "status": status})
    else:
        say(f"{data['event']} {data['id']} -> {status or 'no answer'}")
    return _exit_status(status)


async def listen(
    *,
    to: Annotated[str, Parameter(env_var="LEAD_WEBHOOK_URL")],
    secret: Secret = None,
    interval: float = 2.0,
    since: datetime | None = None,
    once: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Follow the bank's event list, and deliver each event, signed, to a local address, until Ctrl-C.

    Args:
        to: The address of the application on your desk.
        secret: What to sign with; made up and printed if left out.
        interval: Seconds between two looks at the list.
        since: Begin with events of this time; with those that are made from now on if left out.
        once: Deliver what there is, and end (exit status 1 if something was refused).
        as_json: Print one JSON object a line.
    """
    if interval <= 0:
        raise ConfigurationError("interval: must be more than 0 seconds")
    if secret is None:
        secret = f"whsec_{uuid.uuid4().hex}"
        say(f"export LEAD_WEBHOOK_SECRETS={secret}")
    start = datetime.now(UTC) if since is None else since.astimezone()
    async with LeadClient.from_env() as lead, until_stopped() as stopped:
        follower = Follower(lead, to, _first(secret), start, as_json=as_json)
        if once:
            await unless(stopped, follower.look())
            return INTERRUPTED if stopped.is_set() else NOT_SO if follower.refused else 0
        while not stopped.is_set():
            await unless(stopped, follower.look())
            await unless(stopped, asyncio.sleep(interval))
    return 0


class Follower:
    """Delivers what is new on the event list, oldest first.

    Args:
        lead: asks for the list.
        to: where to deliver.
        secret: what to sign with.
        start: where the list begins.
        as_json: how to print.
    """

    def __init__(self, lead: LeadClient, to: str, secret: str, start: datetime, *, as_json: bool = False) -> None:
        self.refused = 0
        """How many events were refused, or found nobody, at every attempt."""
        self._lead = lead
        self._to = to
        self._secret = secret
        self._start = start
        self._since = start
        self._as_json = as_json
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def look(self) -> None:
        """Look once, and deliver what is new."""
        found: list[Event] = []
        with progress("events") as tell:
            async for event in self._lead.events.list(created_on_or_after=self._since, limit=100):
                if event.id not in self._seen:
                    found.append(event)
                    tell(len(found))
        for event in sorted(found, key=lambda one: one.created_at):
            await self._deliver(event)
            self._since = max(self._start, self._since, event.created_at - OVERLAP)

    async def _deliver(self, event: Event) -> None:
        body = encode(unstructure(event))
        status: int | None = None
        for _ in range(ATTEMPTS):
            status = await post_webhook(self._to, body, sign(body, self._secret, int(time.time() * 1000)))
            if _exit_status(status) == 0:
                break
        else:
            self.refused += 1
        self._seen[event.id] = None
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        if self._as_json:
            say_json({"id": event.id, "event": str(event.type), "status": status})
        else:
            say(f"{event.created_at:%H:%M:%S} {event.type} {event.id} -> {status or 'no answer'}")


def change_field(shown: dict[str, Any], change: str) -> None:
    """Change a field of an object: ``amount=5000``, ``creditor.name=Jo Doe``; the value is JSON, or else a string.

    Raises:
        ConfigurationError: it is no change, or the path leads nowhere.
    """
    path, separator, text = change.partition("=")
    *outer, name = path.split(".")
    if not separator or not name:
        raise ConfigurationError(f"--set {path}: must be FIELD=VALUE, such as amount=5000")
    try:
        value: Any = decode(change.encode().partition(b"=")[2])
    except UnicodeEncodeError:
        # A shell passes on any bytes, and Python marks those that are no text.
        raise ConfigurationError(f"--set {path}: must be text in UTF-8") from None
    except ValueError:
        value = text
    for step in outer:
        inner = shown.setdefault(step, {})
        if not isinstance(inner, dict):
            raise ConfigurationError(f"--set {path}: {step} has no fields")
        shown = inner
    shown[name] = value


def _check(data: dict[str, Any]) -> None:
    try:
        event = structure_event(data)
    except MalformedResponseError as error:
        wrong = "; ".join(f"{path.removeprefix('$.object.')}: {reason}" for path, reason in error.problems)
        raise ConfigurationError(f"--set: {wrong}") from None
    if isinstance(event.object, Model):
        unknown = sorted(_unknown(event.object))
        if unknown:
            raise ConfigurationError(f"--set: a payment has no field {', '.join(unknown)}")


def _unknown(model: Model, path: str = "") -> list[str]:
    found = [path + name for name in model.unknown_fields]
    for field in attrs.fields(type(model)):
        inner = getattr(model, field.name)
        if isinstance(inner, Model):
            found += _unknown(inner, f"{path}{field.name.rstrip('_')}.")
    return found


def _first(secret: str | None) -> str:
    secrets = Settings.from_env({"LEAD_WEBHOOK_SECRETS": secret or ""}).webhook_secrets
    if not secrets:
        raise ConfigurationError("--secret, or LEAD_WEBHOOK_SECRETS: is needed to sign with")
    return secrets[0]


def _exit_status(status: int | None) -> int:
    """Success is any 2xx; no answer is a failure of the network, anything else a no."""
    if status is None:
        return FAILED
    return 0 if 200 <= status < 300 else NOT_SO  # noqa: PLR2004 - what 2xx means

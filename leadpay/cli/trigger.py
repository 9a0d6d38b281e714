"""``leadpay trigger``: send one signed webhook to an application."""

import time
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Final

import attrs
from cyclopts import Parameter

from leadpay.cli import exit_codes
from leadpay.cli.options import AsJson, WebhookSecret, signing_secret
from leadpay.cli.output import print_json, print_line
from leadpay.converter import decode, encode, structure_event
from leadpay.errors import ConfigurationError, MalformedResponseError
from leadpay.models import Model
from leadpay.sandbox import post_webhook, sample
from leadpay.sandbox.constants import EVENT_TYPES
from leadpay.webhooks.signature import HEADER, sign

HELP: Final = f"""Build a signed webhook of any event type and send it (exit code 1 if it is refused).

Types: {", ".join(name.removeprefix("instant_payment.") for name in EVENT_TYPES)}."""


async def trigger(
    event_type: str,
    *,
    direction: str | None = None,
    changes: Annotated[Sequence[str], Parameter(name="--set", negative="")] = (),
    to: Annotated[str | None, Parameter(env_var="LEAD_WEBHOOK_URL")] = None,
    secret: WebhookSecret = None,
    as_json: AsJson = False,
) -> int:
    """Build a signed webhook and send it.

    Args:
        event_type: The event type, such as posted or ach.returned.
        direction: outgoing or incoming, for types that exist in both directions.
        changes: A field of the object and its value, such as amount=5000 or creditor.name="Jo Doe"; can be repeated.
        to: The URL to send the webhook to. If it is left out, the header and the body are printed, for curl.
        secret: The signing secret; of several, the first.
        as_json: Print one JSON object.
    """
    key = signing_secret(secret)
    try:
        data = sample(event_type, direction=direction, now=time.time(), new_uuid=uuid.uuid4)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    for change in changes:
        set_field(data["object"], change)
    _validate(data)
    body = encode(data)
    header = sign(body, key, int(time.time() * 1000))
    if to is None:
        if as_json:
            print_json({"headers": {HEADER: header}, "body": body.decode()})
        else:
            print_line(f"{HEADER}: {header}\n\n{body.decode()}")
        return exit_codes.OK
    status = await post_webhook(to, body, header)
    if as_json:
        print_json({"id": data["id"], "event": data["event"], "status": status})
    else:
        print_line(f"{data['event']} {data['id']} -> {status or 'no response'}")
    return exit_codes.for_delivery(status)


def set_field(data: dict[str, Any], change: str) -> None:
    """Set a field of an object from ``amount=5000`` or ``creditor.name=Jo Doe``; the value is JSON or else a string.

    Raises:
        ConfigurationError: the text has no ``=``, or the path does not exist.
    """
    path, separator, text = change.partition("=")
    *parents, name = path.split(".")
    if not separator or not name:
        raise ConfigurationError(f"--set {path}: must be FIELD=VALUE, such as amount=5000")
    try:
        value: Any = decode(change.encode().partition(b"=")[2])
    except UnicodeEncodeError:
        # Bytes of the command line that are not UTF-8 reach Python as lone surrogates.
        raise ConfigurationError(f"--set {path}: must be text in UTF-8") from None
    except ValueError:
        value = text
    for parent in parents:
        child = data.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigurationError(f"--set {path}: {parent} has no fields")
        data = child
    data[name] = value


def _validate(data: dict[str, Any]) -> None:
    try:
        event = structure_event(data)
    except MalformedResponseError as error:
        problems = "; ".join(f"{path.removeprefix('$.object.')}: {reason}" for path, reason in error.problems)
        raise ConfigurationError(f"--set: {problems}") from None
    if isinstance(event.object, Model):
        unknown = sorted(_unknown_fields(event.object))
        if unknown:
            raise ConfigurationError(f"--set: the object has no field {', '.join(unknown)}")


def _unknown_fields(model: Model, path: str = "") -> list[str]:
    found = [path + name for name in model.unknown_fields]
    for field in attrs.fields(type(model)):
        child = getattr(model, field.name)
        if isinstance(child, Model):
            found += _unknown_fields(child, f"{path}{field.name.rstrip('_')}.")
    return found

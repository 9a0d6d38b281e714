"""From verified bytes to an Event. Pure."""

from datetime import datetime
from typing import Final

import attrs

from leadpay.converter import decode, structure_event
from leadpay.errors import MalformedEventError, MalformedResponseError, Problem
from leadpay.models import Event


@attrs.frozen(kw_only=True)
class UnreadableWebhook:
    """A webhook that the bank signed, and whose body cannot be read as an event."""

    body: bytes = attrs.field(repr=False)
    """The raw bytes as they came, with names and account numbers. ``parse`` may read them after an upgrade."""
    problems: tuple[Problem, ...]
    """What is wrong, path by path; never empty."""
    event_id: str | None
    """The event's ID, if that can be read."""
    payment_id: str | None
    """The payment's ID, if that can be read."""
    received_at: datetime


_NOT_JSON: Final = Problem("$", "must be JSON in UTF-8")


def parse(body: bytes) -> Event:
    """Read a webhook's body, once its signature has been verified.

    Args:
        body: the raw bytes.

    Returns:
        An InstantPaymentEvent where the object is an instant payment, else an Event with the object as JSON data.

    Raises:
        MalformedEventError: it is not JSON, or a field is missing or has the wrong type; ``problems`` has the
            paths, ``event_id`` and ``payment_id`` what can be read.
    """
    try:
        return structure_event(decode(body))
    except MalformedResponseError as error:
        raise MalformedEventError(error.problems, event_id=error.object_id, payment_id=error.payment_id) from None
    except ValueError:
        raise MalformedEventError([_NOT_JSON]) from None

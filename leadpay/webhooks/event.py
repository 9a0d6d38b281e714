"""Verified bytes -> Event. Pure."""

from typing import Final

import orjson

from leadpay.converter import structure_event
from leadpay.errors import MalformedEventError, MalformedResponseError, Problem
from leadpay.models import Event

_NOT_JSON: Final = Problem("$", "must be JSON in UTF-8")


def parse(body: bytes) -> Event:
    """Read a webhook's body, once its signature has been verified.

    Args:
        body: the raw bytes.

    Returns:
        An InstantPaymentEvent where the object is an instant payment, else an Event with the object as JSON data.

    Raises:
        MalformedEventError: it is not JSON, or a field is missing or of the wrong type; ``problems`` has the paths.
    """
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedEventError([_NOT_JSON]) from None
    try:
        return structure_event(data)
    except MalformedResponseError as error:
        raise MalformedEventError(error.problems) from None

"""A valid order, and the problems of an invalid request."""

from typing import Any

import pytest

from leadpay.errors import InvalidRequestError
from leadpay.models import Agent, Party

ORDER: dict[str, Any] = {
    "account_number_id": "account_number_1",
    "amount": 5000,
    "creditor": Party(name="Alex Smith", account_number="1234567890"),
    "creditor_agent": Agent(routing_number="111000111"),
    "description": None,
    "currency_code": "USD",
    "key": "key",
}
"""What ``requests.send`` takes."""


def problems_of(call: Any, *args: Any, **kwargs: Any) -> dict[str, str]:
    """Make a call that must be invalid, and return its problems: field -> reason."""
    with pytest.raises(InvalidRequestError) as caught:
        call(*args, **kwargs)
    return dict(caught.value.problems)

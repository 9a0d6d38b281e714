"""What a person types into the search field: a part of an ID or a reference, or an amount. Pure."""

from typing import Final

import attrs

from leadpay.errors import InvalidRequestError
from leadpay.models import InstantPayment, cents

MAX_LENGTH: Final = 200
"""Characters of a search that are looked at."""


@attrs.frozen
class Search:
    """A search, read once and compared with many payments."""

    text: str
    """In lower case."""
    amount: int | None
    """In cents, if the text is an amount in dollars."""

    def matches(self, payment: InstantPayment) -> bool:
        """Whether a payment has the amount, or the text in one of its IDs."""
        if self.amount is not None and payment.amount == self.amount:
            return True
        known = payment.payment_identifiers
        ids = (
            *(payment.id, payment.account_number_id, payment.original_payment_id),
            *(known.end_to_end_id, known.uetr, known.transaction_id),
        )
        return any(self.text in one.lower() for one in ids if one)


def read(text: str) -> Search | None:
    """Read a search, or None if there is none."""
    text = text.strip()[:MAX_LENGTH]
    if not text:
        return None
    try:
        amount = cents(text.removeprefix("$").replace(",", ""))
    except InvalidRequestError:
        amount = None
    return Search(text.lower(), amount)

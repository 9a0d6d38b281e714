"""The bank's JSON as it was, or as it may be one day: older spellings, unknown values, unknown fields. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from leadpay.sandbox.faults import Faults

OLDER: Final[Mapping[str, str]] = {
    "duplication": "duplicate",
    "fraud_suspected": "fraudulent",
    "customer_no_response": "no_answer_from_customer",
    "honor_return_request": "following_return_request",
    "undue_payment": "not_justified",
    "initiating_party_unrecognized": "unknown_sender",
    "creditor_account_number_invalid": "invalid_creditor_account_number",
    "customer_requested": "requested_by_customer",
    "instant_payment.counterparty_status_updated": "instant_payment.counterparty_status_update",
    "instant_payment.return_request_status_updated": "instant_payment.return_request_status_update",
}
"""Words in the spelling of the bank's older pages."""

_SPELLED: Final = frozenset({"reason", "rejection_reason", "event"})
"""The fields whose words were respelled; a description is the customer's own text."""

_UNHEARD: Final = frozenset({"reason", "rejection_reason"})
"""The fields that get an unknown value: those whose meaning a reader can do without."""


def disguise(shown: Any, faults: Faults, operation: str) -> Any:
    """The JSON of an answer or a webhook, with the data faults that strike now applied."""
    for kind, change in (("older_spellings", _respell), ("unknown_value", _unheard), ("unknown_field", _lengthened)):
        changed = change(shown)
        # A fault that would change nothing is kept for one where it does.
        if changed != shown and faults.draw((kind,), operation):
            shown = changed
    return shown


def _respell(shown: Any, field: str = "") -> Any:
    if isinstance(shown, dict):
        return {name: _respell(value, name) for name, value in shown.items()}
    if isinstance(shown, list):
        return [_respell(value) for value in shown]
    return OLDER.get(shown, shown) if field in _SPELLED and isinstance(shown, str) else shown


def _unheard(shown: Any, field: str = "") -> Any:
    if isinstance(shown, dict):
        return {name: _unheard(value, name) for name, value in shown.items()}
    if isinstance(shown, list):
        return [_unheard(value) for value in shown]
    return f"{shown}_as_never_before" if field in _UNHEARD else shown


def _lengthened(shown: Any) -> Any:
    if isinstance(shown, dict):
        return {**{name: _lengthened(value) for name, value in shown.items()}, "added_tomorrow": {"by": ["the bank"]}}
    if isinstance(shown, list):
        return [_lengthened(value) for value in shown]
    return shown

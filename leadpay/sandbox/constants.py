"""The enum values of the bank's description, written down independently of the SDK."""

from collections.abc import Mapping
from typing import Final

DIRECTIONS: Final = ("outgoing", "incoming")
STATUSES: Final = ("created", "under_review", "canceled", "rejected", "posted")
COUNTERPARTY_STATUSES: Final = ("posted", "under_review", "rejected")
RETURN_REQUEST_STATUSES: Final = ("pending", "response_needed", "accepted", "rejected")
REJECTED_BY: Final = ("lead", "network", "counterparty")
RESOLVED_BY: Final = ("client", *REJECTED_BY)
ACCOUNT_NUMBER_STATUSES: Final = ("active", "inactive", "canceled", "unassigned")
CURRENCIES: Final = ("USD",)

REJECTION_REASONS: Final[Mapping[str, str]] = {
    "account_closed": "AC04 The creditor's account is closed",
    "creditor_account_number_invalid": "AC03 The creditor's account number is invalid",
    "account_blocked": "AC06 The account is blocked",
    "wrong_amount": "AM09 The amount is wrong",
    "creditor_name_mismatch": "BE01 The creditor's name does not match the account",
    "creditor_address_incorrect": "BE04 The creditor's address is missing or incorrect",
    "creditor_identification_invalid": "BE17 The creditor's identification is invalid",
    "duplication": "AM05 The payment is a duplicate",
    "regulatory_reason": "RR04 Regulatory reason",
    "narrative": "NARR As agreed by telephone",
    "account_number_incorrect": "AC01 The account number is incorrect or not active",
    "non_sufficient_funds": "AM04 The balance is too low",
    "aggregate_limit_exceeded": "AM14 An aggregate limit is exceeded",
    "participant_not_on_network": "The participant is not on an instant payment network",
    "routing_number_format_incorrect": "RC01 The routing number's format is incorrect",
    "participant_signed_off": "The participant has signed off",
    "restricted_by_account_number_controls": "The account number's controls do not admit this counterparty",
    "other": "Another reason",
}
"""Reasons of a rejection, in the order of the bank's list, with the details that the sandbox shows."""

SENDABLE_RETURN_REASONS: Final = (
    "honor_return_request",
    "wrong_amount",
    "duplication",
    "initiating_party_unrecognized",
    "fraud_suspected",
    "undue_payment",
    "narrative",
    "customer_requested",
)
"""Reasons that the client may give for a return."""

RETURN_REASONS: Final = (*SENDABLE_RETURN_REASONS, "regulatory_reason", "amount_too_low", "other")
"""Reasons that a return may carry."""

SENDABLE_REQUEST_REASONS: Final = (
    "creditor_account_number_invalid",
    "wrong_amount",
    "customer_requested",
    "duplication",
    "fraud_suspected",
    "narrative",
    "service_not_rendered",
    "technical_problem",
    "undue_payment",
)
"""Reasons that the client may give for a return request."""

REQUEST_REASONS: Final = (*SENDABLE_REQUEST_REASONS, "per_agent_request", "other")
"""Reasons that a return request may carry."""

SENDABLE_REQUEST_REJECTION_REASONS: Final = (
    "account_closed",
    "non_sufficient_funds",
    "customer_requested",
    "legal_decision",
    "customer_no_response",
    "returned_previously",
    "narrative",
)
"""Reasons that the client may give for rejecting a return request."""

REQUEST_REJECTION_REASONS: Final = (*SENDABLE_REQUEST_REJECTION_REASONS, "per_agent_request", "other")
"""Reasons for which a return request may have been rejected."""

REASONS_WITH_DETAILS: Final[Mapping[str, frozenset[str]]] = {
    "return": frozenset({"narrative", "wrong_amount"}),
    "request_return": frozenset({"narrative", "wrong_amount", "service_not_rendered"}),
    "reject_return_request": frozenset({"narrative"}),
}
"""The reasons, by operation, that need ``additional_information``."""

EVENT_TYPES: Final = (
    *(f"ach.{name}" for name in ("processing", "submitted", "posted", "under_review", "approved", "rejected")),
    *(f"ach.{name}" for name in ("pending_return", "returned", "corrected", "canceled", "scheduled")),
    *(f"ach.{name}" for name in ("return_dishonored", "return_contested")),
    "account_number.created",
    *(f"internal_transfer.{name}" for name in ("succeeded", "failed", "posted", "rejected")),
    *(f"lending.disbursement.{name}" for name in ("processing", "succeeded", "failed", "ach_correction")),
    *(f"wire.{name}" for name in ("created", "under_review", "scheduled", "processing", "posted", "rejected")),
    *(f"wire.{name}" for name in ("canceled", "cancel_pending", "return_request.received")),
    *(f"instant_payment.{name}" for name in ("posted", "rejected", "under_review", "counterparty_status_updated")),
    *(f"instant_payment.{name}" for name in ("return_request_response_needed", "return_request_status_updated")),
    "funding.posted",
    "funding.rejected",
)
"""The types of events of all the bank's products."""

PRODUCTS: Final = (
    *("account_number", "ach", "wire", "instant_payment", "event", "internal_transfer", "lending", "entity"),
    *("funding", "subledger_balance", "account", "application", "blockchain_payment"),
)
SCOPES: Final = frozenset(
    f"{product}/{right}" for product in PRODUCTS for right in ("read", "read_write") if product != "event"
) | {"event/read"}
"""The scopes that a token can have."""

"""The bank's enums. They are open: a value that is not listed is kept, and its ``is_known`` is False.

The bank's pages show older spellings beside newer ones, and both have been received. So every string is accepted:
``Status("frozen")`` compares and prints as ``"frozen"``.

An older spelling is the same word as the current one: it compares, hashes and prints as the current one, with plain
strings too. ``as_sent`` has the spelling that came::

    reason = ReturnReason("duplicate")
    assert reason == ReturnReason.DUPLICATION == "duplication"
    assert reason.as_sent == "duplicate"
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Literal, Self, TypeAlias

OLDER_SPELLINGS: Final[Mapping[str, str]] = {
    "duplicate": "duplication",
    "following_return_request": "honor_return_request",
    "fraudulent": "fraud_suspected",
    "invalid_creditor_account_number": "creditor_account_number_invalid",
    "no_answer_from_customer": "customer_no_response",
    "not_justified": "undue_payment",
    "requested_by_customer": "customer_requested",
    "unknown_sender": "initiating_party_unrecognized",
    "instant_payment.counterparty_status_update": "instant_payment.counterparty_status_updated",
    "instant_payment.return_request_status_update": "instant_payment.return_request_status_updated",
}
"""Values on the bank's older pages, and the values that replaced them."""

_UNKNOWN: Final = "UNKNOWN"


class OpenEnum(StrEnum):
    """A string from a list that the bank may lengthen at any time."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        spelling = str(value)
        current = OLDER_SPELLINGS.get(spelling, spelling)
        member = cls._value2member_map_.get(current)
        # Not added to the members: a sender could otherwise fill the memory with made-up values.
        made = str.__new__(cls, spelling if member is None else current)
        made._name_ = _UNKNOWN if member is None else member.name
        made._value_ = spelling if member is None else current
        vars(made)[_AS_SENT] = spelling
        return made

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        """Pickle by the spelling that came."""
        return type(self), (self.as_sent,)

    @property
    def as_sent(self) -> str:
        """The bank's spelling as it came: ``duplicate`` where the value is ``duplication``."""
        spelling: str = vars(self).get(_AS_SENT, self._value_)
        return spelling

    @property
    def is_known(self) -> bool:
        """Whether this version of leadpay lists the value, in its current or in an older spelling."""
        return self._name_ != _UNKNOWN

    @property
    def current(self) -> Self:
        """The listed member, for ``is``: the value itself, unless it came in an older spelling."""
        return type(self)[self._name_] if self.is_known else self


_AS_SENT: Final = "as_sent"


class Direction(OpenEnum):
    """Who initiated the payment."""

    OUTGOING = "outgoing"
    INCOMING = "incoming"


class CurrencyCode(OpenEnum):
    """An ISO 4217 code."""

    USD = "USD"


class Status(OpenEnum):
    """Our side of a payment: funds have moved on the account only if it is ``posted``."""

    CREATED = "created"
    UNDER_REVIEW = "under_review"
    CANCELED = "canceled"
    REJECTED = "rejected"
    POSTED = "posted"


class CounterpartyStatus(OpenEnum):
    """The other side of an outgoing payment, after it has posted on ours."""

    POSTED = "posted"
    UNDER_REVIEW = "under_review"
    REJECTED = "rejected"


class RejectedBy(OpenEnum):
    """Who rejected a payment."""

    LEAD = "lead"
    NETWORK = "network"
    COUNTERPARTY = "counterparty"


class RejectionReason(OpenEnum):
    """Why a payment was rejected."""

    ACCOUNT_CLOSED = "account_closed"
    CREDITOR_ACCOUNT_NUMBER_INVALID = "creditor_account_number_invalid"
    ACCOUNT_BLOCKED = "account_blocked"
    WRONG_AMOUNT = "wrong_amount"
    CREDITOR_NAME_MISMATCH = "creditor_name_mismatch"
    CREDITOR_ADDRESS_INCORRECT = "creditor_address_incorrect"
    CREDITOR_IDENTIFICATION_INVALID = "creditor_identification_invalid"
    DUPLICATION = "duplication"
    REGULATORY_REASON = "regulatory_reason"
    NARRATIVE = "narrative"
    ACCOUNT_NUMBER_INCORRECT = "account_number_incorrect"
    NON_SUFFICIENT_FUNDS = "non_sufficient_funds"
    AGGREGATE_LIMIT_EXCEEDED = "aggregate_limit_exceeded"
    PARTICIPANT_NOT_ON_NETWORK = "participant_not_on_network"
    ROUTING_NUMBER_FORMAT_INCORRECT = "routing_number_format_incorrect"
    PARTICIPANT_SIGNED_OFF = "participant_signed_off"
    RESTRICTED_BY_ACCOUNT_NUMBER_CONTROLS = "restricted_by_account_number_controls"
    OTHER = "other"


class ReturnReason(OpenEnum):
    """Why a payment is a return."""

    HONOR_RETURN_REQUEST = "honor_return_request"
    WRONG_AMOUNT = "wrong_amount"
    DUPLICATION = "duplication"
    INITIATING_PARTY_UNRECOGNIZED = "initiating_party_unrecognized"
    FRAUD_SUSPECTED = "fraud_suspected"
    UNDUE_PAYMENT = "undue_payment"
    NARRATIVE = "narrative"
    CUSTOMER_REQUESTED = "customer_requested"
    REGULATORY_REASON = "regulatory_reason"
    AMOUNT_TOO_LOW = "amount_too_low"
    OTHER = "other"


class ReturnRequestReason(OpenEnum):
    """Why a return is requested."""

    CREDITOR_ACCOUNT_NUMBER_INVALID = "creditor_account_number_invalid"
    WRONG_AMOUNT = "wrong_amount"
    CUSTOMER_REQUESTED = "customer_requested"
    DUPLICATION = "duplication"
    FRAUD_SUSPECTED = "fraud_suspected"
    NARRATIVE = "narrative"
    SERVICE_NOT_RENDERED = "service_not_rendered"
    TECHNICAL_PROBLEM = "technical_problem"
    UNDUE_PAYMENT = "undue_payment"
    PER_AGENT_REQUEST = "per_agent_request"
    OTHER = "other"


class ReturnRequestRejectionReason(OpenEnum):
    """Why a return request was rejected."""

    ACCOUNT_CLOSED = "account_closed"
    NON_SUFFICIENT_FUNDS = "non_sufficient_funds"
    CUSTOMER_REQUESTED = "customer_requested"
    LEGAL_DECISION = "legal_decision"
    CUSTOMER_NO_RESPONSE = "customer_no_response"
    RETURNED_PREVIOUSLY = "returned_previously"
    NARRATIVE = "narrative"
    PER_AGENT_REQUEST = "per_agent_request"
    OTHER = "other"


class ReturnRequestStatus(OpenEnum):
    """Status of a return request: ``pending`` if we requested it, ``response_needed`` if the counterparty did."""

    PENDING = "pending"
    RESPONSE_NEEDED = "response_needed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class ResolvedBy(OpenEnum):
    """Who resolved a return request."""

    CLIENT = "client"
    LEAD = "lead"
    NETWORK = "network"
    COUNTERPARTY = "counterparty"


class EventType(OpenEnum):
    """What happened. Other products' events reach the same endpoint."""

    INSTANT_PAYMENT_UNDER_REVIEW = "instant_payment.under_review"
    INSTANT_PAYMENT_POSTED = "instant_payment.posted"
    INSTANT_PAYMENT_REJECTED = "instant_payment.rejected"
    INSTANT_PAYMENT_COUNTERPARTY_STATUS_UPDATED = "instant_payment.counterparty_status_updated"
    INSTANT_PAYMENT_RETURN_REQUEST_RESPONSE_NEEDED = "instant_payment.return_request_response_needed"
    INSTANT_PAYMENT_RETURN_REQUEST_STATUS_UPDATED = "instant_payment.return_request_status_updated"
    ACH_PROCESSING = "ach.processing"
    ACH_SUBMITTED = "ach.submitted"
    ACH_POSTED = "ach.posted"
    ACH_UNDER_REVIEW = "ach.under_review"
    ACH_APPROVED = "ach.approved"
    ACH_REJECTED = "ach.rejected"
    ACH_PENDING_RETURN = "ach.pending_return"
    ACH_RETURNED = "ach.returned"
    ACH_CORRECTED = "ach.corrected"
    ACH_CANCELED = "ach.canceled"
    ACH_SCHEDULED = "ach.scheduled"
    ACH_RETURN_DISHONORED = "ach.return_dishonored"
    ACH_RETURN_CONTESTED = "ach.return_contested"
    ACCOUNT_NUMBER_CREATED = "account_number.created"
    INTERNAL_TRANSFER_SUCCEEDED = "internal_transfer.succeeded"
    INTERNAL_TRANSFER_FAILED = "internal_transfer.failed"
    INTERNAL_TRANSFER_POSTED = "internal_transfer.posted"
    INTERNAL_TRANSFER_REJECTED = "internal_transfer.rejected"
    LENDING_DISBURSEMENT_PROCESSING = "lending.disbursement.processing"
    LENDING_DISBURSEMENT_SUCCEEDED = "lending.disbursement.succeeded"
    LENDING_DISBURSEMENT_FAILED = "lending.disbursement.failed"
    LENDING_DISBURSEMENT_ACH_CORRECTION = "lending.disbursement.ach_correction"
    WIRE_CREATED = "wire.created"
    WIRE_UNDER_REVIEW = "wire.under_review"
    WIRE_SCHEDULED = "wire.scheduled"
    WIRE_PROCESSING = "wire.processing"
    WIRE_POSTED = "wire.posted"
    WIRE_REJECTED = "wire.rejected"
    WIRE_CANCELED = "wire.canceled"
    WIRE_CANCEL_PENDING = "wire.cancel_pending"
    WIRE_RETURN_REQUEST_RECEIVED = "wire.return_request.received"
    FUNDING_POSTED = "funding.posted"
    FUNDING_REJECTED = "funding.rejected"

    @property
    def is_account_number(self) -> bool:
        """Whether the event is about an account number, of a kind that we know or not."""
        return self._value_.startswith("account_number.")

    @property
    def is_instant_payment(self) -> bool:
        """Whether the event is about an instant payment, of a kind that we know or not."""
        return self._value_.startswith("instant_payment.")


class AccountNumberStatus(OpenEnum):
    """Whether an account number can be used: only an ``active`` one sends and receives."""

    UNASSIGNED = "unassigned"
    ACTIVE = "active"
    INACTIVE = "inactive"
    CANCELED = "canceled"


class CounterpartyFilter(OpenEnum):
    """Which counterparties an account number admits."""

    ACCEPT_ALL = "accept_all"
    REJECT_ALL = "reject_all"
    ALLOWLIST_ONLY = "allowlist_only"


# The same values as Literal types, for arguments: a type checker refuses any other value.

CounterpartyFilterLiteral: TypeAlias = Literal[
    "accept_all",
    "reject_all",
    "allowlist_only",
]
"""A counterparty filter that an account number can be given."""

DirectionLiteral: TypeAlias = Literal[
    "outgoing",
    "incoming",
]
"""A direction that lists and handlers can be filtered by."""

StatusLiteral: TypeAlias = Literal[
    "created",
    "under_review",
    "canceled",
    "rejected",
    "posted",
]
"""A status that lists and handlers can be filtered by."""

CounterpartyStatusLiteral: TypeAlias = Literal[
    "posted",
    "under_review",
    "rejected",
]
"""A counterparty status that lists and handlers can be filtered by."""

ReturnRequestStatusLiteral: TypeAlias = Literal[
    "pending",
    "response_needed",
    "accepted",
    "rejected",
]
"""A status of a return request that lists can be filtered by."""

ReturnReasonLiteral: TypeAlias = Literal[
    "honor_return_request",
    "wrong_amount",
    "duplication",
    "initiating_party_unrecognized",
    "fraud_suspected",
    "undue_payment",
    "narrative",
    "customer_requested",
]
"""Why we may return a payment (the bank's page "Return an instant payment")."""

ReturnRequestReasonLiteral: TypeAlias = Literal[
    "creditor_account_number_invalid",
    "wrong_amount",
    "customer_requested",
    "duplication",
    "fraud_suspected",
    "narrative",
    "service_not_rendered",
    "technical_problem",
    "undue_payment",
]
"""Why we may request a return (the bank's page "Request return for an instant payment")."""

ReturnRequestRejectionReasonLiteral: TypeAlias = Literal[
    "account_closed",
    "non_sufficient_funds",
    "customer_requested",
    "legal_decision",
    "customer_no_response",
    "returned_previously",
    "narrative",
]
"""Why we may reject a return request (the bank's page "Reject return request for an instant payment")."""

EventTypeLiteral: TypeAlias = Literal[
    "instant_payment.posted",
    "instant_payment.rejected",
    "instant_payment.under_review",
    "instant_payment.counterparty_status_updated",
    "instant_payment.return_request_response_needed",
    "instant_payment.return_request_status_updated",
    "ach.processing",
    "ach.submitted",
    "ach.posted",
    "ach.under_review",
    "ach.approved",
    "ach.rejected",
    "ach.pending_return",
    "ach.returned",
    "ach.corrected",
    "ach.canceled",
    "ach.scheduled",
    "ach.return_dishonored",
    "ach.return_contested",
    "account_number.created",
    "internal_transfer.succeeded",
    "internal_transfer.failed",
    "internal_transfer.posted",
    "internal_transfer.rejected",
    "lending.disbursement.processing",
    "lending.disbursement.succeeded",
    "lending.disbursement.failed",
    "lending.disbursement.ach_correction",
    "wire.created",
    "wire.under_review",
    "wire.scheduled",
    "wire.processing",
    "wire.posted",
    "wire.rejected",
    "wire.canceled",
    "wire.cancel_pending",
    "wire.return_request.received",
    "funding.posted",
    "funding.rejected",
]
"""A type of event that lists can be filtered by."""

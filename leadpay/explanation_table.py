"""The table of explanations: a row for each value of the bank's enums. Pure data."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from leadpay.enums import (
    AccountNumberStatus,
    CounterpartyFilter,
    CounterpartyStatus,
    CurrencyCode,
    Direction,
    EventType,
    OpenEnum,
    RejectedBy,
    RejectionReason,
    ResolvedBy,
    ReturnReason,
    ReturnRequestReason,
    ReturnRequestRejectionReason,
    ReturnRequestStatus,
    Status,
)


class Actor(StrEnum):
    """Who must act."""

    US = "us"
    """The program, or the people who operate it."""
    CUSTOMER = "customer"
    """Your customer, who has to give other data or to decide."""
    OTHER_BANK = "other bank"
    """The counterparty's bank; you wait."""
    NONE = "none"
    """It is over, or goes on by itself."""


class TryAgain(StrEnum):
    """Whether to send the payment, or the request, again."""

    AS_IT_IS = "as it is"
    """Later, with the same data: a new payment with a new idempotency key."""
    WITH_OTHER_DATA = "with other data"
    """After the data that is wrong was corrected."""
    NO = "no"
    """It would fail again, or pay twice."""


class Row(NamedTuple):
    """What the explanation of a value has besides the value and its kind."""

    meaning: str
    who: Actor
    try_again: TryAgain
    for_customer: str = ""
    iso_code: str | None = None


_US, _CUSTOMER, _OTHER_BANK, _NONE = Actor.US, Actor.CUSTOMER, Actor.OTHER_BANK, Actor.NONE
_AS_IT_IS, _CHANGED, _NO = TryAgain.AS_IT_IS, TryAgain.WITH_OTHER_DATA, TryAgain.NO

_REJECTIONS: Final = {
    RejectionReason.ACCOUNT_CLOSED: Row(
        "The receiver's account is closed.",
        _CUSTOMER,
        _CHANGED,
        "The receiver's account is closed. Please ask the receiver for another account.",
        "AC04",
    ),
    RejectionReason.CREDITOR_ACCOUNT_NUMBER_INVALID: Row(
        "The receiver's bank has no account with this number, or the number is missing.",
        _CUSTOMER,
        _CHANGED,
        "The account number of the receiver is not right. Please check it and send the payment again.",
        "AC03",
    ),
    RejectionReason.ACCOUNT_BLOCKED: Row(
        "The account is blocked: nothing can be posted to it.",
        _CUSTOMER,
        _CHANGED,
        "The receiver's account cannot take payments now. Please ask the receiver for another account.",
        "AC06",
    ),
    RejectionReason.WRONG_AMOUNT: Row(
        "The amount is not the one that the receiver or its bank expects.",
        _CUSTOMER,
        _CHANGED,
        "The receiver does not accept this amount. Please check the amount with the receiver.",
        "AM09",
    ),
    RejectionReason.CREDITOR_NAME_MISMATCH: Row(
        "The name does not belong to the receiver's account number.",
        _CUSTOMER,
        _CHANGED,
        "The name and the account number of the receiver do not belong together. Please check both.",
        "BE01",
    ),
    RejectionReason.CREDITOR_ADDRESS_INCORRECT: Row(
        "The receiver's address is missing or wrong at its bank. A payment that you send has no address.",
        _CUSTOMER,
        _NO,
        "The receiver's bank needs an address from the receiver. Please ask the receiver to contact its bank.",
        "BE04",
    ),
    RejectionReason.CREDITOR_IDENTIFICATION_INVALID: Row(
        "The receiver's identification is missing or wrong.",
        _CUSTOMER,
        _CHANGED,
        "The receiver could not be identified. Please check the receiver's name and account number.",
        "BE17",
    ),
    RejectionReason.DUPLICATION: Row(
        "The same payment has been made already. Look for the earlier one before you do anything else.",
        _US,
        _NO,
        "This payment was made already, so it was not made a second time.",
        "AM05",
    ),
    RejectionReason.REGULATORY_REASON: Row(
        "The law or a regulation forbids the payment. Ask Lead what you may tell the customer.",
        _US,
        _NO,
        "This payment could not be made. Please contact us.",
        "RR04",
    ),
    RejectionReason.NARRATIVE: Row(
        "The reason is in the text of details.",
        _US,
        _NO,
        "This payment could not be made. We are looking into it.",
        "NARR",
    ),
    RejectionReason.ACCOUNT_NUMBER_INCORRECT: Row(
        "An account number is wrong or not active. It may be your own: look at its status.",
        _US,
        _CHANGED,
        "The account number is not right, or not in use. Please check it.",
        "AC01",
    ),
    RejectionReason.NON_SUFFICIENT_FUNDS: Row(
        "The balance of the sender's account is too low.",
        _US,
        _AS_IT_IS,
        "This payment could not be made now. We will tell you when you can try again.",
        "AM04",
    ),
    RejectionReason.AGGREGATE_LIMIT_EXCEEDED: Row(
        "The payments of a period add up to more than a limit. Ask Lead for the limit, or wait for the next period.",
        _US,
        _AS_IT_IS,
        "This payment is over a limit for now. Please try again later.",
        "AM14",
    ),
    RejectionReason.PARTICIPANT_NOT_ON_NETWORK: Row(
        "The receiver's bank does not take instant payments. check_availability tells so before you send.",
        _CUSTOMER,
        _CHANGED,
        "The receiver's bank does not take instant payments. Please choose another way to pay.",
    ),
    RejectionReason.ROUTING_NUMBER_FORMAT_INCORRECT: Row(
        "The routing number of the receiver's bank is wrong.",
        _CUSTOMER,
        _CHANGED,
        "The routing number of the receiver's bank is not right. Please check it.",
        "RC01",
    ),
    RejectionReason.PARTICIPANT_SIGNED_OFF: Row(
        "The receiver's bank is not on the network at the moment.",
        _OTHER_BANK,
        _AS_IT_IS,
        "The receiver's bank cannot be reached now. Please try again later.",
    ),
    RejectionReason.RESTRICTED_BY_ACCOUNT_NUMBER_CONTROLS: Row(
        "The controls of your account number do not admit this counterparty. If you want its payments, allow it: "
        "leadpay account-numbers allow.",
        _US,
        _CHANGED,
        "Payments with this account are not accepted. Please contact us.",
    ),
    RejectionReason.OTHER: Row(
        "A reason that has no value of its own. Look at details, and ask Lead.",
        _US,
        _NO,
        "This payment could not be made. We are looking into it.",
    ),
}

_RETURNS: Final = {
    ReturnReason.HONOR_RETURN_REQUEST: Row(
        "The payment was returned because its sender requested it.",
        _NONE,
        _NO,
        "The payment was returned, as requested.",
        "FOCR",
    ),
    ReturnReason.WRONG_AMOUNT: Row(
        "The receiver returned the payment because its amount is wrong.",
        _CUSTOMER,
        _CHANGED,
        "The payment was returned because the amount was not right.",
        "AM09",
    ),
    ReturnReason.DUPLICATION: Row(
        "The receiver returned the payment because it had been made already.",
        _US,
        _NO,
        "The payment was returned because it was made twice.",
        "DUPL",
    ),
    ReturnReason.INITIATING_PARTY_UNRECOGNIZED: Row(
        "The receiver does not know the sender.",
        _CUSTOMER,
        _CHANGED,
        "The receiver did not know who sent the payment, and returned it.",
        "BE05",
    ),
    ReturnReason.FRAUD_SUSPECTED: Row(
        "The side that returned the payment suspects fraud. Find out what happened before any other payment is made.",
        _US,
        _NO,
        "The payment was returned. We will contact you.",
        "FRAD",
    ),
    ReturnReason.UNDUE_PAYMENT: Row(
        "The payment was not owed, or was paid in another way.",
        _CUSTOMER,
        _NO,
        "The receiver returned the payment because it was not owed.",
        "UPAY",
    ),
    ReturnReason.NARRATIVE: Row(
        "The reason is in the text of details.", _US, _NO, "The payment was returned. We are looking into it.", "NARR"
    ),
    ReturnReason.CUSTOMER_REQUESTED: Row(
        "The receiver asked its bank to return the payment.",
        _CUSTOMER,
        _NO,
        "The receiver returned the payment.",
        "CUST",
    ),
    ReturnReason.REGULATORY_REASON: Row(
        "The law or a regulation made the bank return the payment. Ask Lead what you may tell the customer.",
        _US,
        _NO,
        "The payment was returned. Please contact us.",
        "RR04",
    ),
    ReturnReason.AMOUNT_TOO_LOW: Row(
        "The amount is lower than the receiver or its bank accepts.",
        _CUSTOMER,
        _CHANGED,
        "The payment was returned because the amount was too low.",
        "AM06",
    ),
    ReturnReason.OTHER: Row(
        "A reason that has no value of its own. Look at details, and ask Lead.",
        _US,
        _NO,
        "The payment was returned. We are looking into it.",
    ),
}

_RESPOND: Final = " If it was received by you, accept or reject the request before its deadline."

_REQUESTS: Final = {
    ReturnRequestReason.CREDITOR_ACCOUNT_NUMBER_INVALID: Row(
        f"The payment went to an account that was not meant.{_RESPOND}",
        _US,
        _NO,
        "The sender asks for this payment back: it says that the account number was wrong.",
        "AC03",
    ),
    ReturnRequestReason.WRONG_AMOUNT: Row(
        f"The sender says that the amount is wrong.{_RESPOND}",
        _US,
        _NO,
        "The sender asks for this payment back: it says that the amount was wrong.",
        "AM09",
    ),
    ReturnRequestReason.CUSTOMER_REQUESTED: Row(
        f"The sender's customer wants the money back.{_RESPOND}",
        _US,
        _NO,
        "The sender asks for this payment back.",
        "CUST",
    ),
    ReturnRequestReason.DUPLICATION: Row(
        f"The sender says that it paid twice. Look for the other payment.{_RESPOND}",
        _US,
        _NO,
        "The sender asks for this payment back: it says that it paid twice.",
        "DUPL",
    ),
    ReturnRequestReason.FRAUD_SUSPECTED: Row(
        f"The sender's bank suspects fraud. Keep what is left of the money while you investigate.{_RESPOND}",
        _US,
        _NO,
        "There is a question about this payment. We will contact you.",
        "FRAD",
    ),
    ReturnRequestReason.NARRATIVE: Row(
        f"The reason is in the text of details.{_RESPOND}",
        _US,
        _NO,
        "The sender asks for this payment back.",
        "NARR",
    ),
    ReturnRequestReason.SERVICE_NOT_RENDERED: Row(
        f"The sender did not get what it paid for.{_RESPOND}",
        _US,
        _NO,
        "The sender asks for this payment back: it says that it did not get what it paid for.",
        "SVNR",
    ),
    ReturnRequestReason.TECHNICAL_PROBLEM: Row(
        f"The payment was sent by a technical mistake.{_RESPOND}",
        _US,
        _NO,
        "The sender asks for this payment back: it was sent by mistake.",
        "TECH",
    ),
    ReturnRequestReason.UNDUE_PAYMENT: Row(
        f"The payment was not owed, or was paid in another way.{_RESPOND}",
        _US,
        _NO,
        "The sender asks for this payment back: it says that it was not owed.",
        "UPAY",
    ),
    ReturnRequestReason.PER_AGENT_REQUEST: Row(
        f"The sender's bank wants the money back.{_RESPOND}",
        _US,
        _NO,
        "The sender's bank asks for this payment back.",
    ),
    ReturnRequestReason.OTHER: Row(
        f"A reason that has no value of its own. Look at details.{_RESPOND}",
        _US,
        _NO,
        "The sender asks for this payment back.",
    ),
}

_REQUEST_REJECTIONS: Final = {
    ReturnRequestRejectionReason.ACCOUNT_CLOSED: Row(
        "The account that received the payment is closed.",
        _NONE,
        _NO,
        "The payment cannot be returned: the receiver's account is closed.",
        "AC04",
    ),
    ReturnRequestRejectionReason.NON_SUFFICIENT_FUNDS: Row(
        "The account that received the payment does not have the money any more.",
        _NONE,
        _AS_IT_IS,
        "The payment cannot be returned: the money is not there any more.",
        "AM04",
    ),
    ReturnRequestRejectionReason.CUSTOMER_REQUESTED: Row(
        "The receiver does not agree to the return.",
        _CUSTOMER,
        _NO,
        "The receiver does not agree to return the payment. Please speak with the receiver.",
        "CUST",
    ),
    ReturnRequestRejectionReason.LEGAL_DECISION: Row(
        "The law or a court forbids the return.",
        _US,
        _NO,
        "The payment cannot be returned, for legal reasons.",
        "LEGL",
    ),
    ReturnRequestRejectionReason.CUSTOMER_NO_RESPONSE: Row(
        "The receiver did not respond in time. Lead gives this reason if you do not respond to a request.",
        _CUSTOMER,
        _AS_IT_IS,
        "The receiver did not respond in time.",
        "NOAS",
    ),
    ReturnRequestRejectionReason.RETURNED_PREVIOUSLY: Row(
        "The payment was returned before. Look for the return.",
        _US,
        _NO,
        "The payment was returned already.",
        "ARDT",
    ),
    ReturnRequestRejectionReason.NARRATIVE: Row(
        "The reason is in the text of rejection_details.",
        _US,
        _NO,
        "The payment cannot be returned. We are looking into it.",
        "NARR",
    ),
    ReturnRequestRejectionReason.PER_AGENT_REQUEST: Row(
        "The receiver's bank does not agree to the return.",
        _US,
        _NO,
        "The receiver's bank does not return the payment.",
        "AGNT",
    ),
    ReturnRequestRejectionReason.OTHER: Row(
        "A reason that has no value of its own. Look at rejection_details, and ask Lead.",
        _US,
        _NO,
        "The payment cannot be returned. We are looking into it.",
    ),
}

_STATUSES: Final = {
    Status.CREATED: Row("Lead has the payment. It can still be canceled.", _NONE, _NO, "Your payment is on its way."),
    Status.UNDER_REVIEW: Row("People at Lead look at the payment.", _NONE, _NO, "Your payment is being checked."),
    Status.CANCELED: Row("It was canceled before it was sent. No funds moved.", _NONE, _NO, "The payment is canceled."),
    Status.REJECTED: Row(
        "It was rejected. No funds moved. The reason says what to do.", _US, _NO, "The payment was not made."
    ),
    Status.POSTED: Row(
        "Funds have moved on your account. An outgoing payment has arrived when its counterparty status is posted.",
        _NONE,
        _NO,
        "The payment is booked.",
    ),
}
_COUNTERPARTY_STATUSES: Final = {
    CounterpartyStatus.POSTED: Row("The receiver has the money.", _NONE, _NO, "Your payment has arrived."),
    CounterpartyStatus.UNDER_REVIEW: Row(
        "The receiver's bank looks at the payment.", _OTHER_BANK, _NO, "The receiver's bank is checking your payment."
    ),
    CounterpartyStatus.REJECTED: Row(
        "The receiver's bank rejected the payment after it had left. Wait for its return, which is a new payment.",
        _OTHER_BANK,
        _NO,
        "The receiver's bank did not accept your payment. The money will come back.",
    ),
}
_REQUEST_STATUSES: Final = {
    ReturnRequestStatus.PENDING: Row("You requested a return. Wait for the other bank.", _OTHER_BANK, _NO),
    ReturnRequestStatus.RESPONSE_NEEDED: Row(
        "The sender wants its money back. Accept or reject before the deadline; after it, Lead rejects in your name.",
        _US,
        _NO,
    ),
    ReturnRequestStatus.ACCEPTED: Row(
        "The return was accepted, which is an intention. The money is back when the return has posted.", _NONE, _NO
    ),
    ReturnRequestStatus.REJECTED: Row("The return was rejected. Look at the resolution.", _NONE, _NO),
}
_REJECTED_BY: Final = {
    RejectedBy.LEAD: Row("Lead rejected the payment. Ask Lead if the reason is not clear.", _US, _NO),
    RejectedBy.NETWORK: Row("The network rejected the payment: the receiver's bank did not get it.", _US, _NO),
    RejectedBy.COUNTERPARTY: Row("The counterparty's bank rejected the payment.", _CUSTOMER, _NO),
}
_RESOLVED_BY: Final = {
    ResolvedBy.CLIENT: Row("You accepted or rejected the return request.", _NONE, _NO),
    ResolvedBy.LEAD: Row("Lead rejected the return request: its deadline had passed.", _NONE, _NO),
    ResolvedBy.NETWORK: Row("The network ended the return request.", _NONE, _NO),
    ResolvedBy.COUNTERPARTY: Row("The counterparty's bank accepted or rejected the return request.", _NONE, _NO),
}
_ACCOUNT_NUMBER_STATUSES: Final = {
    AccountNumberStatus.UNASSIGNED: Row("It belongs to no customer yet: it neither sends nor receives.", _US, _NO),
    AccountNumberStatus.ACTIVE: Row("It sends and receives.", _NONE, _AS_IT_IS),
    AccountNumberStatus.INACTIVE: Row("It neither sends nor receives until it is activated.", _US, _CHANGED),
    AccountNumberStatus.CANCELED: Row("It neither sends nor receives any more.", _US, _CHANGED),
}
_FILTERS: Final = {
    CounterpartyFilter.ACCEPT_ALL: Row("Every counterparty is admitted.", _NONE, _AS_IT_IS),
    CounterpartyFilter.REJECT_ALL: Row("No counterparty is admitted.", _US, _CHANGED),
    CounterpartyFilter.ALLOWLIST_ONLY: Row("Only the counterparties on the allow-list are admitted.", _US, _CHANGED),
}
_DIRECTIONS: Final = {
    Direction.OUTGOING: Row("You send the payment.", _NONE, _NO),
    Direction.INCOMING: Row("You receive the payment.", _NONE, _NO),
}
_CURRENCIES: Final = {CurrencyCode.USD: Row("US dollars; amounts are in cents.", _NONE, _NO)}
_ELSEWHERE: Final = Row("An event of another product of the bank, not about instant payments.", _NONE, _NO)
_EVENTS: Final = {
    **dict.fromkeys(EventType, _ELSEWHERE),
    EventType.INSTANT_PAYMENT_UNDER_REVIEW: Row("People at Lead look at a payment.", _NONE, _NO),
    EventType.INSTANT_PAYMENT_POSTED: Row(
        "Funds have moved on your account. Tell the customer of an incoming payment that the money is there.", _US, _NO
    ),
    EventType.INSTANT_PAYMENT_REJECTED: Row("A payment was rejected. Its rejection has the reason.", _US, _NO),
    EventType.INSTANT_PAYMENT_COUNTERPARTY_STATUS_UPDATED: Row(
        "An outgoing payment has arrived, or was rejected after it had left.", _US, _NO
    ),
    EventType.INSTANT_PAYMENT_RETURN_REQUEST_RESPONSE_NEEDED: Row(
        "The sender of an incoming payment wants it back. Accept or reject before the deadline.", _US, _NO
    ),
    EventType.INSTANT_PAYMENT_RETURN_REQUEST_STATUS_UPDATED: Row(
        "The counterparty accepted or rejected a return request of yours.", _US, _NO
    ),
    EventType.ACCOUNT_NUMBER_CREATED: Row("There is a new account number.", _NONE, _NO),
}

TABLE: Final[Mapping[type[OpenEnum], tuple[str, Mapping[Any, Row]]]] = {
    RejectionReason: ("rejection reason", _REJECTIONS),
    ReturnReason: ("return reason", _RETURNS),
    ReturnRequestReason: ("return request reason", _REQUESTS),
    ReturnRequestRejectionReason: ("reason to reject a return request", _REQUEST_REJECTIONS),
    Status: ("payment status", _STATUSES),
    CounterpartyStatus: ("counterparty status", _COUNTERPARTY_STATUSES),
    ReturnRequestStatus: ("return request status", _REQUEST_STATUSES),
    RejectedBy: ("who rejected a payment", _REJECTED_BY),
    ResolvedBy: ("who resolved a return request", _RESOLVED_BY),
    AccountNumberStatus: ("account number status", _ACCOUNT_NUMBER_STATUSES),
    CounterpartyFilter: ("counterparty filter", _FILTERS),
    Direction: ("direction", _DIRECTIONS),
    CurrencyCode: ("currency", _CURRENCIES),
    EventType: ("event type", _EVENTS),
}
"""Every value of the bank's enums. A plain string is looked for in this order."""

BY_LEAD: Final[Mapping[str, Row]] = {
    RejectionReason.ACCOUNT_BLOCKED: Row(
        "Lead rejected the payment because an account is blocked. It may be your own: ask Lead.",
        _US,
        _NO,
        "This payment could not be made. We are looking into it.",
        "AC06",
    ),
    RejectionReason.ACCOUNT_NUMBER_INCORRECT: Row(
        "Lead rejected the payment because your account number is wrong or not active. Look at its status: "
        "leadpay account-numbers show.",
        _US,
        _CHANGED,
        "This payment could not be made. We are looking into it.",
        "AC01",
    ),
}
"""Reasons that mean something else where Lead is who rejected."""

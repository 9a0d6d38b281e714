"""What the bank's guides state, sentence by sentence and in our own words.

A sentence is named by its paragraph, and by its place there: ``9.2``. Paragraphs are the lines of a guide that are not
empty, table rows and headings included, counted from 1. Headings and the heads of tables state nothing. The two pages
about one operation are numbered by their fields, in the order of the page.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

SENDING: Final = {
    "2.1": "an integration sends payments and return requests",
    "2.2": "a payment that was sent cannot be reversed, so both are worth having",
    "3.1": "payments are sent",
    "4.1": "return requests get back what was sent by mistake",
    "5.1": "after a fraud or a mistake, a return request is the only way",
    "7.1": "a send makes a payment with the direction outgoing",
    "9.1": "whether a bank takes instant payments can be checked before a payment is sent to it",
    "9.2": "a payment that was sent can be canceled",
    "9.3": "but only until Lead has submitted it",
    "9.4": "that is during processing or a review",
    "11.1": "check_availability checks a bank",
    "12.1": "send sends a payment",
    "13.1": "cancel tries to cancel one",
    "15.1": "an outgoing payment has five statuses",
    "15.2": "canceled is one of them, but not for returns",
    "15.3": "the counterparty status begins once the payment has posted",
    "15.4": "and tells whether and when the money reaches the creditor",
    "17.1": "created: no webhook",
    "18.1": "under_review before it is submitted: a webhook",
    "19.1": "canceled by us: no webhook",
    "20.1": "posted: a webhook",
    "21.1": "rejected by any of the three: a webhook",
    "23.1": "counterparty under_review before it is posted there: a webhook",
    "24.1": "counterparty posted: a webhook",
    "25.1": "counterparty rejected before it reached the account: a webhook",
    "27.1": "events tell a payment's life from its start to the counterparty",
    "29.1": ".under_review: not submitted to the network yet",
    "30.1": ".rejected: by any of the three",
    "31.1": ".posted: the funds have left the account",
    "32.1": ".counterparty_status_update: posted means that it was received",
    "34.1": "a return request is a part of the payment that exists",
    "36.1": "it can be made for a payment that was sent",
    "38.1": "request_return is for a posted outgoing payment",
    "40.1": "a request of ours has three statuses",
    "42.1": "pending: no webhook",
    "43.1": "accepted by the counterparty: a webhook",
    "44.1": "rejected by the counterparty: a webhook",
    "46.1": "one type of event tells every change of status",
    "48.1": ".return_request_status_update: the status changed",
}
SENDING_HEADINGS: Final = {1, 6, 8, 10, 14, 16, 22, 26, 28, 33, 35, 37, 39, 41, 45, 47}

RECEIVING: Final = {
    "1.1": "an integration receives payments and returns them",
    "1.2": "returns are needed because a payment is final",
    "1.3": "there are three parts",
    "2.1": "payments are received",
    "3.1": "return requests about them are received",
    "4.1": "returns are sent, and requests responded to",
    "6.1": "an incoming payment makes a payment with the direction incoming",
    "8.1": "it has three statuses, each with a webhook",
    "11.1": "under_review: a webhook",
    "12.1": "posted: a webhook",
    "13.1": "rejected by Lead: a webhook",
    "15.1": "only posted must be handled",
    "15.2": "then the funds are available",
    "15.3": "the other two may be handled",
    "18.1": ".under_review: funds are pending",
    "19.1": ".posted is mandatory",
    "20.1": ".rejected: the rejection tells why",
    "22.1": "an incoming payment needs nothing more of us",
    "22.2": "unless its return is requested",
    "24.1": "the counterparty requests the return of what it sent",
    "24.2": "the request is a part of the original payment",
    "25.1": "a payment can have several over time",
    "25.2": "only one at a time waits for a response",
    "27.1": "requests begin after the payment has posted",
    "27.2": "response_needed is the only status with an event",
    "30.1": "response_needed: a webhook",
    "31.1": "accepted by our return: no webhook",
    "32.1": "rejected by us with a reason: no webhook",
    "34.1": "the event says that a response, and perhaps a return, is needed",
    "34.2": "to handle it is mandatory",
    "37.1": ".return_request_response_needed: respond by the tenth business day",
    "39.1": "there is an operation to reject",
    "39.2": "to accept is to return",
    "40.1": "respond by the tenth business day",
    "40.2": "otherwise Lead rejects it for us",
    "43.1": "reject_return_request rejects the active request",
    "45.1": "a return makes a payment with the direction outgoing",
    "45.2": "the active request is accepted with it",
    "46.1": "the statuses and events of returns are some of those of payments",
    "47.1": "a return is a kind of outgoing payment",
    "49.1": "a return needs no request",
    "50.1": "respond by the tenth business day",
    "50.2": "otherwise Lead rejects it for us",
    "53.1": "return returns a payment that was received",
    "53.2": "and accepts an outstanding request",
    "55.1": "a return has four statuses",
    "55.2": "the request is accepted once Lead has validated the return",
    "56.1": "the request's status does not tell whether money moved",
    "56.2": "acceptance is an intention",
    "59.1": "created: no webhook",
    "60.1": "under_review before it is submitted: a webhook",
    "61.1": "posted: a webhook",
    "62.1": "rejected by any of the three: a webhook",
    "65.1": "the request is accepted: no webhook",
    "67.1": "a return is followed by several events",
    "67.2": "they tell exceptions, and when the money is there",
    "70.1": ".under_review: not submitted yet",
    "71.1": ".rejected: by any of the three",
    "72.1": ".posted: the funds have left the account",
    "73.1": ".counterparty_status_update: posted means that it was received",
}
RECEIVING_HEADINGS: Final = (
    {5, 7, 9, 10, 14, 16, 17, 21, 23, 26, 28, 29, 33, 35, 36, 38, 41, 42, 44, 48, 51, 52, 54, 57, 58}
    | {63, 64, 66, 68, 69}
)  # fmt: skip

REJECTIONS: Final = {
    "1.1": "each of four fields tells one thing: our side, their side, who rejected, what returns what",
    "1.2": "status governs the account",
    "1.3": "funds have moved only if it is posted",
    "1.4": "counterparty_status tells where they are afterwards",
    "3.1": "a payment did not reach the counterparty",
    "3.2": "it is rejected, by lead or by the network, with reason and details",
    "4.1": "the .rejected webhook tells it",
    "4.2": "Lead can be asked",
    "6.1": "a payment was submitted and rejected by the counterparty",
    "6.2": "the rejection says so, with reason and details",
    "7.1": "the .rejected webhook tells it",
    "7.2": "it may be sent again",
    "9.1": "a payment can be rejected after it was sent",
    "9.2": "then status stays posted, and counterparty_status becomes rejected",
    "9.3": "the original payment has ended",
    "9.4": "its return comes as another payment, which names it",
    "10.1": "the .counterparty_status_updated webhook tells it, with the rejection",
    "10.2": "the .posted webhook of the return names the original",
    "12.1": "Lead rejects an incoming payment",
    "12.2": "most often by the controls of the account number",
    "12.3": "the .rejected webhook tells it",
    "12.4": "a partner that did not expect it updates the controls",
    "14.1": "an incoming payment is not wanted",
    "14.2": "it cannot be rejected, except by controls",
    "14.3": "so it is returned",
    "14.4": "return makes a new outgoing payment",
}
REJECTIONS_HEADINGS: Final = {2, 5, 8, 11, 13}

RETURN: Final = {
    "1.1": "a token is required",
    "2.1": "an idempotency key of at most 255 characters is required",
    "3.1": "the ID is that of a payment",
    "4.1": "eight reasons can be given",
    "5.1": "a text is required with narrative and wrong_amount",
    "5.2": "it has at most 140 characters",
    "6.1": "the response is the new outgoing return, with the fields of a payment",
    "7.1": "return is there because the payment is a return",
    "8.1": "rejection is there if it was rejected",
}

LIST: Final = {
    "1.1": "a token is required",
    "2.1": "account_id filters",
    "3.1": "account_number_id filters",
    "4.1": "direction filters",
    "5.1": "status filters",
    "6.1": "counterparty_status filters, and may be null",
    "7.1": "return_request_status filters",
    "8.1": "created_at filters",
    "9.1": "limit is from 1 to 100, and 10 if left out",
    "10.1": "starting_after continues after an object",
    "11.1": "ending_before continues before an object",
    "12.1": "the response has payments, and has_more",
}

GUIDES: Final = {
    "Sending": (SENDING, SENDING_HEADINGS),
    "Receiving & Returning": (RECEIVING, RECEIVING_HEADINGS),
    "Rejections & Returns": (REJECTIONS, REJECTIONS_HEADINGS),
    "Return an instant payment": (RETURN, set[int]()),
    "List all instant payments": (LIST, set[int]()),
}
"""The sentences of each guide, and its paragraphs that state nothing."""

NAMED: Final[dict[tuple[str, str], list[str]]] = {}
"""Sentence -> the tests that name it."""


def states(guide: str, *sentences: str) -> Callable[[F], F]:
    """Name the sentences that a test shows to hold."""

    def note(test: F) -> F:
        for sentence in sentences:
            NAMED.setdefault((guide, sentence), []).append(test.__name__)
        return test

    return note

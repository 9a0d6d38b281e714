"""The operations: path, scopes, idempotency, and what each does at the bank. Pure."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from leadpay.sandbox import constants, serialization, validation
from leadpay.sandbox.bank import Bank
from leadpay.sandbox.models import utc_datetime
from leadpay.sandbox.problems import not_found
from leadpay.sandbox.store import EVENTS_KEPT
from leadpay.sandbox.validation import Query

Json = dict[str, Any]
Body = Mapping[str, Any]

READ: Final = frozenset({"instant_payment/read", "instant_payment/read_write"})
WRITE: Final = frozenset({"instant_payment/read_write"})
EVENTS: Final = frozenset({"event/read"})
READ_NUMBERS: Final = frozenset({"account_number/read", "account_number/read_write"})
WRITE_NUMBERS: Final = frozenset({"account_number/read_write"})


class OperationInput(NamedTuple):
    """The parts of a request that an operation reads."""

    object_id: str
    body: Body
    query: Query


class Operation(NamedTuple):
    """One of the bank's operations."""

    name: str
    method: str
    path: re.Pattern[str]
    scopes: frozenset[str]
    run: Callable[[Bank, OperationInput], Json | None]
    """Returns the JSON of the response, or None for an empty body."""
    has_body: bool = False
    needs_key: bool = False
    """Whether the bank's description requires an idempotency key."""
    takes_key: bool = False
    """Whether the bank's description has a key that may be left out."""
    may_have_body: bool = False
    """Whether a body may be left out."""


def _send(bank: Bank, given: OperationInput) -> Json:
    return serialization.payment(bank.send(validation.payment_order(given.body)))


def _check_availability(bank: Bank, given: OperationInput) -> Json:
    number = validation.availability(given.body)
    return {"available": bank.check_availability(number), "routing_number": number}


def _retrieve(bank: Bank, given: OperationInput) -> Json:
    return serialization.payment(bank.retrieve(given.object_id))


def _list(bank: Bank, given: OperationInput) -> Json:
    wanted, cursor = validation.payment_list(given.query)
    found, has_more = bank.payments.page(cursor, wanted.matches)
    return {"objects": [serialization.payment(payment) for payment in found], "has_more": has_more}


def _cancel(bank: Bank, given: OperationInput) -> Json:
    return serialization.payment(bank.cancel(given.object_id))


def _return(bank: Bank, given: OperationInput) -> Json:
    why = validation.reason(given.body, constants.SENDABLE_RETURN_REASONS, constants.REASONS_WITH_DETAILS["return"])
    return serialization.payment(bank.return_payment(given.object_id, why))


def _request_return(bank: Bank, given: OperationInput) -> Json:
    why = validation.reason(
        given.body, constants.SENDABLE_REQUEST_REASONS, constants.REASONS_WITH_DETAILS["request_return"]
    )
    return serialization.payment(bank.request_return(given.object_id, why))


def _reject_return_request(bank: Bank, given: OperationInput) -> Json:
    choices, with_details = (
        constants.SENDABLE_REQUEST_REJECTION_REASONS,
        constants.REASONS_WITH_DETAILS["reject_return_request"],
    )
    why = validation.reason(given.body, choices, with_details)
    return serialization.payment(bank.reject_return_request(given.object_id, why))


def _retrieve_event(bank: Bank, given: OperationInput) -> Json:
    event = bank.events.get(given.object_id)
    if event is None or event.created_at < utc_datetime(bank.now()) - EVENTS_KEPT:
        raise not_found(given.object_id)
    return serialization.event(event, bank.subject(event))


def _list_events(bank: Bank, given: OperationInput) -> Json:
    wanted, cursor = validation.event_list(given.query)
    found, has_more = bank.events.page(cursor, wanted.matches, utc_datetime(bank.now()) - EVENTS_KEPT)
    shown = [serialization.event(event, bank.subject(event)) for event in found]
    return {"objects": shown, "has_more": has_more}


def _incoming(bank: Bank, given: OperationInput) -> None:
    bank.simulate_incoming(validation.incoming_order(given.body))


def _incoming_return(bank: Bank, given: OperationInput) -> None:
    why = validation.reason(given.body, constants.SENDABLE_RETURN_REASONS)
    bank.simulate_return(given.object_id, why, validation.amount(given.body))


def _incoming_return_request(bank: Bank, given: OperationInput) -> None:
    bank.simulate_return_request(given.object_id, validation.reason(given.body, constants.SENDABLE_REQUEST_REASONS))


def _request_rejection(bank: Bank, given: OperationInput) -> None:
    why = validation.reason(given.body, constants.REQUEST_REJECTION_REASONS)
    bank.simulate_resolution(given.object_id, "rejected", why)


def _request_acceptance(bank: Bank, given: OperationInput) -> None:
    bank.simulate_resolution(given.object_id, "accepted")


def _create_account_number(bank: Bank, given: OperationInput) -> Json:
    return serialization.account_number(bank.account_numbers.create(validation.account_number_order(given.body)))


def _list_account_numbers(bank: Bank, given: OperationInput) -> Json:
    wanted, cursor = validation.account_number_list(given.query)
    found, has_more = bank.account_numbers.records.page(cursor, wanted.matches)
    return {"objects": [serialization.account_number(number) for number in found], "has_more": has_more}


def _retrieve_account_number(bank: Bank, given: OperationInput) -> Json:
    return serialization.account_number(bank.account_numbers.find(_account_number_id(given)))


def _update_account_number(bank: Bank, given: OperationInput) -> Json:
    changes = validation.account_number_changes(given.body)
    return serialization.account_number(bank.account_numbers.update(_account_number_id(given), changes))


def _set_account_number_status(status: str) -> Callable[[Bank, OperationInput], Json]:
    def run(bank: Bank, given: OperationInput) -> Json:
        metadata = validation.metadata(given.body)
        return serialization.account_number(
            bank.account_numbers.set_status(_account_number_id(given), status, metadata)
        )

    return run


def _account_number_id(given: OperationInput) -> str:
    # A ledger that is not strict opens what it does not know: only what can be an ID.
    if not validation.ACCOUNT_NUMBER_ID.fullmatch(given.object_id):
        raise not_found(given.object_id)
    return given.object_id


def _path(template: str) -> re.Pattern[str]:
    # check_availability is a path of its own, and no payment's ID.
    return re.compile(template.replace("{id}", "((?!check_availability$)[^/]+)"))


_PAYMENTS: Final = "/v1/instant_payments"
_ONE: Final = "/v1/instant_payments/{id}"
_SIMULATE: Final = "/v1/simulate/instant_payments"
_NUMBERS: Final = "/v1/account_number"
_NUMBER: Final = "/v1/account_number/{id}"

OPERATIONS: Final = (
    Operation("send", "POST", _path(_PAYMENTS), WRITE, _send, has_body=True, needs_key=True),
    Operation("list", "GET", _path(_PAYMENTS), READ, _list),
    Operation(
        "check_availability", "POST", _path(f"{_PAYMENTS}/check_availability"), READ, _check_availability, has_body=True
    ),
    Operation("retrieve", "GET", _path(_ONE), READ, _retrieve),
    Operation("cancel", "POST", _path(f"{_ONE}/cancel"), WRITE, _cancel),
    Operation("return", "POST", _path(f"{_ONE}/return"), WRITE, _return, has_body=True, needs_key=True),
    Operation(
        "request_return", "POST", _path(f"{_ONE}/request_return"), WRITE, _request_return, has_body=True, needs_key=True
    ),
    Operation(
        "reject_return_request",
        "POST",
        _path(f"{_ONE}/reject_return_request"),
        WRITE,
        _reject_return_request,
        has_body=True,
    ),
    Operation("retrieve_event", "GET", _path("/v1/event/{id}"), EVENTS, _retrieve_event),
    Operation("list_events", "GET", _path("/v1/event"), EVENTS, _list_events),
    Operation(
        "simulate_incoming", "POST", _path(f"{_SIMULATE}/incoming"), WRITE, _incoming, has_body=True, needs_key=True
    ),
    Operation(
        "simulate_incoming_return",
        "POST",
        _path(f"{_SIMULATE}/{{id}}/incoming_return"),
        WRITE,
        _incoming_return,
        has_body=True,
        needs_key=True,
    ),
    Operation(
        "simulate_incoming_return_request",
        "POST",
        _path(f"{_SIMULATE}/{{id}}/incoming_return_request"),
        WRITE,
        _incoming_return_request,
        has_body=True,
        needs_key=True,
    ),
    Operation(
        "simulate_incoming_return_request_rejection",
        "POST",
        _path(f"{_SIMULATE}/{{id}}/incoming_return_request_rejection"),
        WRITE,
        _request_rejection,
        has_body=True,
    ),
    Operation(
        "simulate_incoming_return_request_acceptance",
        "POST",
        _path(f"{_SIMULATE}/{{id}}/incoming_return_request_acceptance"),
        WRITE,
        _request_acceptance,
    ),
    Operation(
        "create_account_number",
        "POST",
        _path(_NUMBERS),
        WRITE_NUMBERS,
        _create_account_number,
        has_body=True,
        takes_key=True,
    ),
    Operation("list_account_numbers", "GET", _path(_NUMBERS), READ_NUMBERS, _list_account_numbers),
    Operation("retrieve_account_number", "GET", _path(_NUMBER), READ_NUMBERS, _retrieve_account_number),
    Operation("update_account_number", "PATCH", _path(_NUMBER), WRITE_NUMBERS, _update_account_number, has_body=True),
    *(
        Operation(
            f"{verb}_account_number",
            "POST",
            _path(f"{_NUMBER}/{verb}"),
            WRITE_NUMBERS,
            _set_account_number_status(status),
            may_have_body=True,
        )
        for verb, status in (("activate", "active"), ("deactivate", "inactive"), ("cancel", "canceled"))
    ),
)
"""Every operation except the token endpoint's."""

"""The bank's JSON, written by hand: the sandbox takes no model from the SDK, because it judges the SDK."""

from datetime import UTC, datetime
from typing import Any, TypeAlias

from leadpay.sandbox.ledger import HOME_ROUTING_NUMBER
from leadpay.sandbox.models import AccountNumber, Event, Party, Payment, Resolution, ReturnRequest

Json: TypeAlias = dict[str, Any]
"""A JSON object."""


def timestamp(time: datetime) -> str:
    """A time in ISO 8601: with ``Z`` for UTC, otherwise with its offset, as deadlines are."""
    if time.tzinfo is UTC:
        return f"{time.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
    return time.isoformat()


def payment(record: Payment) -> Json:
    """A payment as the bank shows it: an optional field without a value is left out."""
    shown: Json = {
        "id": record.id,
        "account_id": record.account.account_id,
        "account_number_id": record.account.id,
        "direction": record.direction,
        "status": record.status,
        "counterparty_status": record.counterparty_status,
        "amount": record.amount,
        "currency_code": "USD",
        "debtor": _party(record.debtor),
        "debtor_agent": {"routing_number": record.debtor_agent},
        "creditor": _party(record.creditor),
        "creditor_agent": {"routing_number": record.creditor_agent},
        "payment_identifiers": {"end_to_end_id": record.end_to_end_id, "uetr": record.uetr},
        "related_objects": {"return_payment_ids": list(record.return_payment_ids)},
        "return_requests": [_return_request(request) for request in record.return_requests],
        "created_at": timestamp(record.created_at),
        "updated_at": timestamp(record.updated_at),
    }
    if record.description is not None:
        shown["description"] = record.description
    if record.transaction_id is not None:
        shown["payment_identifiers"]["transaction_id"] = record.transaction_id
    if record.original_payment_id is not None:
        shown["related_objects"]["original_payment_id"] = record.original_payment_id
    if record.return_ is not None:
        shown["return"] = _without_none(record.return_._asdict())
    if record.rejection is not None:
        shown["rejection"] = record.rejection._asdict()
    return shown


def account_number(record: AccountNumber) -> Json:
    """An account number as the bank shows it."""
    return _without_none(
        {
            "id": record.id,
            "account_id": record.account.account_id,
            "account_number": record.account.holder.account_number,
            "routing_number": HOME_ROUTING_NUMBER,
            "client_customer_id": record.client_customer_id,
            "entity_id": record.entity_id,
            "status": record.status,
            **record.controls,
            "metadata": dict(record.metadata),
            "created_at": timestamp(record.created_at),
            "updated_at": timestamp(record.updated_at),
        }
    )


def event(record: Event, subject: Payment | AccountNumber) -> Json:
    """An event, with the newest version of the object that it is about."""
    return {
        "id": record.id,
        "event": record.type,
        "created_at": timestamp(record.created_at),
        "object": payment(subject) if isinstance(subject, Payment) else account_number(subject),
    }


def _party(party: Party) -> Json:
    return {"name": party.name, "account_number": party.account_number}


def _return_request(request: ReturnRequest) -> Json:
    shown = {
        "status": request.status,
        "reason": request.reason,
        "details": request.details,
        "created_at": timestamp(request.created_at),
        "deadline": timestamp(request.deadline),
        "resolution": None if request.resolution is None else _resolution(request.resolution),
    }
    return _without_none(shown)


def _resolution(resolution: Resolution) -> Json:
    shown = {
        "resolved_at": timestamp(resolution.resolved_at),
        "resolved_by": resolution.resolved_by,
        "rejection_reason": resolution.rejection_reason,
        "rejection_details": resolution.rejection_details,
    }
    return _without_none(shown)


def _without_none(shown: Json) -> Json:
    return {name: value for name, value in shown.items() if value is not None}

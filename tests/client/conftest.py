"""Fixtures of the client's tests: the data of a payment, and a way to send one."""

from collections.abc import Callable
from typing import Any

import pytest

from leadpay.client import LeadClient
from leadpay.models import Agent, InstantPayment, Party


@pytest.fixture
def payment() -> Callable[..., dict[str, Any]]:
    def make(**changes: Any) -> dict[str, Any]:
        party = {"name": "Canary Person", "account_number": "4242424242"}
        return {
            "id": "instant_payment_1",
            "account_id": "account_1",
            "account_number_id": "account_number_1",
            "direction": "outgoing",
            "status": "created",
            "amount": 5000,
            "currency_code": "USD",
            "debtor": party,
            "debtor_agent": {"routing_number": "111000111"},
            "creditor": party,
            "creditor_agent": {"routing_number": "111000111"},
            "payment_identifiers": {"end_to_end_id": "E2E-1"},
            "related_objects": {},
            "return_requests": [],
            "created_at": "2027-01-15T08:00:00Z",
            "updated_at": "2027-01-15T08:00:01Z",
            **changes,
        }

    return make


@pytest.fixture
def send() -> Callable[..., Any]:
    async def send_one(lead: LeadClient, key: str | None = None, **changes: Any) -> InstantPayment:
        arguments = {
            "account_number_id": "account_number_1",
            "amount": 5000,
            "creditor": Party(name="Canary Person", account_number="4242424242"),
            "creditor_agent": Agent(routing_number="111000111"),
            "description": "Canary text",
            "idempotency_key": key,
        }
        return await lead.instant_payments.send(**{**arguments, **changes})

    return send_one

"""Random requests by schemathesis: every response must match the description that the bank serves."""

import asyncio
import os
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any, Final

import attrs
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from leadpay.models import Agent, Party
from leadpay.sandbox import Sandbox, account_number
from leadpay.sandbox.openapi import description

EXAMPLES = int(os.environ.get("LEADPAY_EXAMPLES", "8"))
"""Generated requests for each of the sixteen operations; 130 make more than two thousand and take a minute."""

ALLOWED = [positive_data_acceptance, negative_data_rejection]
"""What is no violation: refusing a valid request for its meaning (a used key), and ignoring an unknown filter."""


REAL: Final[dict[str, list[str]]] = {"event": [], "instant_payments": []}
"""IDs of objects at the bank, by the part of the path before them."""

INCOMING_AMOUNT: Final = 700
"""The amount of an incoming payment that is no return, in cents."""


async def fill(bank: Sandbox) -> None:
    """Make payments in every state."""
    party, agent = Party(name="Alex Smith", account_number="1234567890"), Agent(routing_number="111000111")
    async with bank.client() as lead:
        for name in ("posted", "held", "unsubmitted", "rejected_by_lead:other", "returned:other"):
            there = attrs.evolve(party, account_number=account_number(name))
            account = "account_number_1"
            await lead.instant_payments.send(
                account_number_id=account, amount=5000, creditor=there, creditor_agent=agent
            )
            await lead.simulate.incoming(
                account_number_id=account, amount=INCOMING_AMOUNT, debtor=party, debtor_agent=agent
            )
            await bank.wait_idle()
        incoming = [one async for one in lead.instant_payments.list(direction="incoming")]
        for one in [one for one in incoming if one.amount == INCOMING_AMOUNT][:3]:
            await lead.simulate.incoming_return_request(one.id, reason="duplication")
        await bank.wait_idle()
        REAL["instant_payments"] = [one.id async for one in lead.instant_payments.list()]
        REAL["event"] = [one.id async for one in lead.events.list()]


@pytest.fixture(scope="module")
def bank() -> Iterator[Sandbox]:
    """A bank in its own thread: schemathesis blocks until it has a response."""
    found: list[Sandbox] = []
    started, loop = threading.Event(), asyncio.new_event_loop()
    ended = asyncio.Event()

    async def run() -> None:
        async with Sandbox(delay=0, seed=7) as made:
            try:
                await fill(made)
                found.append(made)
            finally:
                started.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    started.wait()
    yield found[0]
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()


CASES: Final = count()

schema = schemathesis.openapi.from_dict(description())


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_response_violates_the_description(case: Any, bank: Sandbox) -> None:
    """Each has a described status and body, and none is a 500."""
    if "id" in case.path_parameters and next(CASES) % 4:
        ids = REAL["event" if "/event" in case.path else "instant_payments"]
        case.path_parameters["id"] = ids[next(CASES) % len(ids)]
    credentials = {"grant_type": "client_credentials", "client_id": bank.client_id, "client_secret": bank.client_secret}
    headers = {"Authorization": f"Bearer {bank.tokens.issue(credentials)['access_token']}"}
    case.call_and_validate(base_url=bank.url, headers=headers, excluded_checks=ALLOWED)

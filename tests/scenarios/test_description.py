"""Random requests by schemathesis: every response must match the description that the bank serves.

The bank's own description is the bank's data, and no part of this project. ``LEADPAY_DESCRIPTION`` names its files,
with ``:`` between them; then the same is checked against each of them.
"""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from leadpay.models import Agent, Party
from leadpay.sandbox import Sandbox, account_number
from leadpay.sandbox.openapi import description

EXAMPLES = int(os.environ.get("LEADPAY_EXAMPLES", "6"))
"""Generated requests for each of the 23 operations; 90 make more than two thousand and take a minute."""

OWN: Final = [path for path in os.environ.get("LEADPAY_DESCRIPTION", "").split(os.pathsep) if path]
"""The files of the bank's own description."""

REFUSALS: Final = ("400", "401", "403", "404", "409", "422")
"""Statuses that the bank's own description leaves out at many operations, although every API has them."""

ALLOWED = [positive_data_acceptance, negative_data_rejection]
"""What is no violation: refusing a valid request for its meaning (a used key), and ignoring an unknown filter."""


REAL: Final[dict[str, list[str]]] = {"event": [], "instant_payments": [], "account_number": []}
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
        REAL["account_number"] = [one.id async for one in lead.account_numbers.list()]


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


def check(case: Any, bank: Sandbox) -> None:
    """Send a request, about an object that exists in three cases of four, and validate the response."""
    kind = next(kind for kind in (*REAL, "") if f"/{kind}" in case.path)
    if kind and "/{" in case.path and next(CASES) % 4:
        [name] = case.path_parameters
        case.path_parameters[name] = REAL[kind][next(CASES) % len(REAL[kind])]
    credentials = {"grant_type": "client_credentials", "client_id": bank.client_id, "client_secret": bank.client_secret}
    headers = {"Authorization": f"Bearer {bank.tokens.issue(credentials)['access_token']}"}
    case.call_and_validate(base_url=bank.url, headers=headers, excluded_checks=ALLOWED)


every_example = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
schema = schemathesis.openapi.from_dict(description())


@schema.parametrize()
@every_example
def test_no_response_violates_the_description(case: Any, bank: Sandbox) -> None:
    """Each has a described status and body, and none is a 500."""
    check(case, bank)


def own_description(path: str) -> Any:
    """Read a file of the bank's, and add the refusals that it leaves out."""
    document = json.loads(Path(path).read_text())
    error = {"description": "", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/APIError"}}}}
    for item in document["paths"].values():
        for operation in item.values():
            operation["responses"] = {**dict.fromkeys(REFUSALS, error), **operation["responses"]}
    return document


def own_test(path: str) -> Any:
    """Make the test of one file."""

    @schemathesis.openapi.from_dict(own_description(path)).parametrize()
    @every_example
    def test(case: Any, bank: Sandbox) -> None:
        """Each response matches the bank's own description."""
        check(case, bank)

    return test


for number, path in enumerate(OWN):
    vars()[f"test_no_response_violates_the_banks_own_description_{number}"] = own_test(path)

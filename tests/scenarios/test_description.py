"""The bank's answers to whatever schemathesis makes up, held against the description that the bank itself serves."""

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
"""Generated requests for each of the sixteen operations; 130 make more than two thousand, and take a minute."""

ALLOWED = [positive_data_acceptance, negative_data_rejection]
"""What is no violation: refusing a request for what it means (a key that was used), and ignoring a filter too many."""


REAL: Final[dict[str, list[str]]] = {"event": [], "instant_payments": []}
"""IDs that the bank knows, by the part of a path that comes before them."""

ARRIVES: Final = 700
"""The amount of what comes in by itself, in cents; a return has another, and cannot be asked back."""


async def fill(bank: Sandbox) -> None:
    """Have payments in every state that a request may find them in."""
    party, agent = Party(name="Alex Smith", account_number="1234567890"), Agent(routing_number="111000111")
    async with bank.client() as lead:
        for name in ("posted", "held", "unsubmitted", "rejected_by_lead:other", "returned:other"):
            there = attrs.evolve(party, account_number=account_number(name))
            account = "account_number_1"
            await lead.instant_payments.send(
                account_number_id=account, amount=5000, creditor=there, creditor_agent=agent
            )
            await lead.simulate.incoming(account_number_id=account, amount=ARRIVES, debtor=party, debtor_agent=agent)
            await bank.settled()
        incoming = [one async for one in lead.instant_payments.list(direction="incoming")]
        for one in [one for one in incoming if one.amount == ARRIVES][:3]:
            await lead.simulate.incoming_return_request(one.id, reason="duplication")
        await bank.settled()
        REAL["instant_payments"] = [one.id async for one in lead.instant_payments.list()]
        REAL["event"] = [one.id async for one in lead.events.list()]


@pytest.fixture(scope="module")
def bank() -> Iterator[Sandbox]:
    """A bank that runs in a thread of its own, since schemathesis waits for each answer."""
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


TURNS: Final = count()

made_up = schemathesis.openapi.from_dict(description())


@made_up.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_answer_violates_the_description(case: Any, bank: Sandbox) -> None:
    """A status and a body as they are described, whatever was asked for; and no 500."""
    if "id" in case.path_parameters and next(TURNS) % 4:
        ids = REAL["event" if "/event" in case.path else "instant_payments"]
        case.path_parameters["id"] = ids[next(TURNS) % len(ids)]
    login = {"grant_type": "client_credentials", "client_id": bank.client_id, "client_secret": bank.client_secret}
    headers = {"Authorization": f"Bearer {bank.tokens.issue(login)['access_token']}"}
    case.call_and_validate(base_url=bank.url, headers=headers, excluded_checks=ALLOWED)

"""The bank's answers to whatever schemathesis makes up, held against the description that the bank itself serves."""

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from leadpay.sandbox import Sandbox
from leadpay.sandbox.openapi import description

EXAMPLES = int(os.environ.get("LEADPAY_EXAMPLES", "8"))
"""Generated requests for each of the sixteen operations; 130 make more than two thousand, and take a minute."""

ALLOWED = [positive_data_acceptance, negative_data_rejection]
"""What is no violation: refusing a request for what it means (a key that was used), and ignoring a filter too many."""


@pytest.fixture(scope="module")
def bank() -> Iterator[Sandbox]:
    """A bank that runs in a thread of its own, since schemathesis waits for each answer."""
    found: list[Sandbox] = []
    started, loop = threading.Event(), asyncio.new_event_loop()
    ended = asyncio.Event()

    async def run() -> None:
        async with Sandbox(delay=0, seed=7) as made:
            found.append(made)
            started.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    started.wait()
    yield found[0]
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()


made_up = schemathesis.openapi.from_dict(description())


@made_up.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_answer_violates_the_description(case: Any, bank: Sandbox) -> None:
    """A status and a body as they are described, whatever was asked for; and no 500."""
    login = {"grant_type": "client_credentials", "client_id": bank.client_id, "client_secret": bank.client_secret}
    headers = {"Authorization": f"Bearer {bank.tokens.issue(login)['access_token']}"}
    case.call_and_validate(base_url=bank.url, headers=headers, excluded_checks=ALLOWED)

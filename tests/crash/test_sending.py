"""A sender is killed at every statement and await: each instruction is one payment, or a refusal and none."""

import asyncio
import logging
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from random import Random
from typing import Final

import pytest

from leadpay.client import LeadClient
from leadpay.enums import CounterpartyFilter
from leadpay.inbox.worker import Worker
from leadpay.models import CounterpartyControls, InstantPaymentControls
from leadpay.outbox import Outbox
from leadpay.outbox.tracking import CONSUMER, tracking_router
from leadpay.sandbox import Sandbox
from leadpay.sandbox.clock import RealClock
from leadpay.webhooks.aiohttp import listening
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from tests.crash.child import SQLITE
from tests.crash.processes import ALL, PROCESSES
from tests.crash.sending_child import (
    CLOSED_ACCOUNT,
    COUNT,
    HOUR,
    REFUSED,
    SendingRun,
    references,
    run_sending_child,
)
from tests.support.inbox import NOW, HandClock
from tests.support.outbox import manual_outbox
from tests.support.postgres import fresh_schema, open_manual

SEEDS: Final = 200 if ALL else 2

DAY_MS: Final = 86_400_000
"""How old a webhook may be: those that are late count, too."""

KILLED_RUNS: Final = 3
"""How many children of each seed are killed; the one after them ends well."""

FAULTS: Final = (
    *(
        "response_lost:send",
        "cut_before:send",
        "server_error:send",
        "server_error_after:send",
        "bad_gateway_after:send",
    ),
    *("proxy_error:send:status=403", "proxy_error_after:send:status=405", "response_cut:send", "in_progress:send"),
    *("foreign_response:send", "rate_limited:send", "source_ip_refused:send", "webhook_first", "webhook_duplicate"),
    *("webhook_delayed:value=0.05", "webhook_reordered:value=0.05", "server_error:retrieve"),
)


class ShiftedClock(RealClock):
    """The machine's clock, at another time."""

    def __init__(self) -> None:
        self.start = RealClock.now(self)
        self.ahead = 0.0

    def now(self) -> float:
        """Seconds since 1970."""
        return NOW + self.ahead + RealClock.now(self) - self.start


@contextmanager
def sqlite_store(folder: Path, server: str) -> Iterator[str]:
    """Name a file."""
    yield f"{SQLITE}{folder / 'outbox.db'}"


@contextmanager
def postgres_store(folder: Path, server: str) -> Iterator[str]:
    """Make a schema."""
    with fresh_schema(server) as url:
        yield url


async def _run(run: SendingRun) -> None:
    child = PROCESSES.Process(target=run_sending_child, args=(run,))
    child.start()
    await asyncio.to_thread(child.join, 60)
    assert child.exitcode in (0, -signal.SIGKILL), f"seed {run.seed}, child {run.number}: {child.exitcode}"


async def play(url: str, seed: int, journal: Path, steps: int, struck: Counter[str]) -> int:
    """Kill some children, let the last one end, and judge by the bank's own books; gives how many steps it took."""
    rng, clock = Random(seed), ShiftedClock()  # noqa: S311 - to be repeated
    bank = Sandbox(seed=seed, delay=0.02, clock=clock)
    async with bank, bank.client() as lead, open_manual(url) as inbox, manual_outbox(url, HandClock()) as outbox:
        bank.bank.ledger.open(CLOSED_ACCOUNT)
        await lead.account_numbers.update(CLOSED_ACCOUNT, instant_payment_controls=CLOSED)
        await Worker(inbox, tracking_router(outbox), consumer=CONSUMER, clock=HandClock()).run_due()
        receiver = WebhookReceiver(
            WebhookRouter("none"),
            secrets=bank.webhook_secret,
            inbox=inbox,
            work=False,
            clock=clock,
            tolerance_ms=DAY_MS,
        )
        async with listening(receiver) as endpoint:
            bank.webhook_url = endpoint
            for number in range(KILLED_RUNS + 1):
                clock.ahead = number * HOUR
                bank.faults.clear()
                is_last = number == KILLED_RUNS or not steps
                for fault in () if is_last else rng.sample(FAULTS, 5):
                    bank.faults.add(fault, times=rng.randint(1, 4))
                strike = None if is_last else rng.randint(1, steps)
                await _run(
                    SendingRun(
                        url=url, bank_url=bank.url, client_id=bank.client_id, client_secret=bank.client_secret,
                        seed=seed, number=number, journal=str(journal), strike=strike,
                    )
                )  # fmt: skip
                if is_last:
                    break
        await judge(lead, outbox, seed)
    text = await asyncio.to_thread(journal.read_text)
    struck.update(re.findall(r"^died (.+)$", text, re.MULTILINE))
    return max(map(int, re.findall(r"^steps (\d+)$", text, re.MULTILINE)))


CLOSED: Final = InstantPaymentControls(
    outgoing=CounterpartyControls(counterparty_filter=CounterpartyFilter("reject_all"))
)


async def judge(lead: LeadClient, outbox: Outbox, seed: int) -> None:
    """Compare the outbox with the bank's list."""
    paid = {one.id: one async for one in lead.instant_payments.list(direction="outgoing", limit=100)}
    assert Counter(one.description for one in paid.values()) == dict.fromkeys(references()[REFUSED:], 1), seed
    kept = [one async for one in outbox.instructions()]
    assert len(kept) == COUNT, seed
    for one in kept:
        if int(one.reference[1:]) < REFUSED:
            assert (one.state, one.payment_id) == ("refused", None), (seed, one)
        else:
            assert one.state == "accepted", (seed, one)
            assert paid[one.payment_id or ""].description == one.reference, (seed, one)


@pytest.mark.asyncio
@pytest.mark.parametrize("store", [sqlite_store, postgres_store])
async def test_each_instruction_is_one_payment_wherever_a_sender_is_killed(
    store: Callable[[Path, str], AbstractContextManager[str]], tmp_path: Path, postgres_server: str
) -> None:
    """With lost responses, proxies' errors, and webhooks that are late, early and double."""
    steps, struck = 0, Counter[str]()
    for seed in range(SEEDS + 1):
        folder = tmp_path / str(seed)
        await asyncio.to_thread(folder.mkdir)
        with store(folder, postgres_server) as url:
            steps = max(steps, await play(url, seed, folder / "journal", steps, struck))
    assert struck.total() >= SEEDS
    logging.getLogger("tests.crash").info("struck %s", struck)

"""An outbox of each kind, a clock that is moved by hand, and payments to queue."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from leadpay.client import LeadClient
from leadpay.models import Agent, InstantPayment, Party
from leadpay.outbox import Guards, Instruction, Outbox
from leadpay.outbox.postgres import PostgresOutboxStore
from leadpay.outbox.sender import Sender
from leadpay.outbox.sqlite import SqliteOutboxStore
from leadpay.sandbox import ManualClock, Sandbox
from tests.support.inbox import NOW, HandClock
from tests.support.rng import FixedRandom

ACCOUNT: Final = "account_number_payouts"
CREDITOR: Final = Party(name="Ada Lovelace", account_number="123456789")
AGENT: Final = Agent(routing_number="111000111")


def payment(**changes: Any) -> dict[str, Any]:
    """Give the arguments of a payment."""
    usual = {
        "reference": "invoice-1",
        "account_number_id": ACCOUNT,
        "amount": 5000,
        "creditor": CREDITOR,
        "creditor_agent": AGENT,
    }
    return {**usual, **changes}


def manual_outbox(url: str, clock: HandClock, **guards: Any) -> Outbox:
    """Make an outbox whose time is that of its caller, which tests move by hand."""
    store: Any
    if url.startswith("postgres"):
        store = PostgresOutboxStore(url, database_clock=False)
    else:
        store = SqliteOutboxStore(url.removeprefix("sqlite:///"))
    return Outbox(store, guards=Guards(**guards), clock=clock)


async def existing(outbox: Outbox, reference: str = "invoice-1") -> Instruction:
    """Look an instruction up that is there."""
    found = await outbox.get(reference)
    assert found is not None
    return found


class OutboxScene:
    """An outbox, a sender and a bank on real sockets; the outbox's clock and the bank's are moved together by hand."""

    def __init__(self, outbox: Outbox, bank: Sandbox, lead: LeadClient, clock: HandClock) -> None:
        self.outbox = outbox
        self.bank = bank
        self.lead = lead
        self.clock = clock
        self.observations: list[Any] = []

    def sender(self, **options: Any) -> Sender:
        """Make a sender that works by the scene's clock."""
        known = {"rng": FixedRandom(0.0), "observer": self.observations.append, "clock": self.clock}
        return Sender(self.outbox, self.lead, **{**known, **options})

    async def work(self, **options: Any) -> int:
        """Work until nothing is due."""
        return await self.sender(**options).run_due()

    async def move(self, seconds: float) -> None:
        """Let time pass, here and at the bank."""
        self.clock.move(seconds)
        manual: Any = self.bank.clock
        await manual.advance(seconds)

    async def clock_only(self, seconds: float) -> None:
        """Let time pass for senders, while payments stay as they are."""
        self.clock.move(seconds)

    async def payments(self) -> list[InstantPayment]:
        """List the bank's outgoing payments, oldest first."""
        return [one async for one in self.lead.instant_payments.list(direction="outgoing", limit=100)][::-1]

    async def instruction(self, reference: str = "invoice-1") -> Instruction:
        """Look an instruction up."""
        return await existing(self.outbox, reference)


@asynccontextmanager
async def open_outbox_scene(url: str, **guards: Any) -> AsyncIterator[OutboxScene]:
    """Start a bank, and open an outbox."""
    clock, manual = HandClock(), ManualClock(NOW)
    async with (
        Sandbox(clock=manual, seed=7, delay=1) as bank,
        bank.client(clock=manual) as lead,
        manual_outbox(url, clock, **guards) as outbox,
    ):
        yield OutboxScene(outbox, bank, lead, clock)

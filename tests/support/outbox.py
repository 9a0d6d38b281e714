"""An outbox of each kind, a clock that is moved by hand, and payments to queue."""

from typing import Any, Final

from leadpay.models import Agent, Party
from leadpay.outbox import Guards, Instruction, Outbox
from leadpay.outbox.postgres import PostgresOutboxStore
from leadpay.outbox.sqlite import SqliteOutboxStore
from tests.support.inbox import HandClock

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

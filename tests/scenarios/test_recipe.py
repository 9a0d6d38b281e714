"""The recipe of docs/howto/send.md, played against every fault: never two payments, never one that is given up."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from leadpay.client.retry import RetryPolicy
from leadpay.config import Timeouts
from leadpay.sandbox import ManualClock, Sandbox
from tests.scenarios.test_sending import Ahead

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "send.md"
FAULTS = (
    *("response_lost", "response_cut", "cut_before", "server_error", "server_error_after", "bad_gateway"),
    *("bad_gateway_after", "in_progress", "rate_limited"),
)
CHANGES = {
    "as it was": "UPDATE orders SET name = name",
    "another spelling": "UPDATE orders SET name = 'Alexander Smith'",
    "another amount": "UPDATE orders SET cents = 5001",
    "no amount": "UPDATE orders SET cents = -1",
    "no routing number": "UPDATE orders SET routing_number = 'none'",
}


@pytest.fixture
def paying() -> Any:
    """Load the recipe as the page has it."""
    found = re.search(r"```python\n# paying.py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    module = ModuleType("paying")
    exec(found[1], module.__dict__)  # noqa: S102 - our own page
    return module


@pytest.fixture
def orders(paying: Any) -> Iterator[sqlite3.Connection]:
    """Make a table with one order."""
    connection = sqlite3.connect(":memory:")
    connection.execute(paying.ORDERS)
    row = ("order-1", 5000, "Alex Smith", "1234567890", "111000111", None, None)
    connection.execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    yield connection
    connection.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("fault", FAULTS)
async def test_the_recipe_never_pays_twice_and_never_gives_a_payment_up(
    fault: str, change: str, paying: Any, orders: sqlite3.Connection
) -> None:
    """The order is changed after the fault, and a refused one gets a new key, as the page says."""
    clock = ManualClock()
    async with (
        Sandbox(clock=clock, seed=1) as bank,
        bank.client(clock=Ahead(clock), retry=RetryPolicy(base=0.5), timeouts=Timeouts(deadline=8)) as lead,
    ):
        bank.faults.add(f"{fault}:send:30")
        await paying.pay_all(lead, orders)
        bank.faults.clear()
        orders.execute(CHANGES[change])
        await paying.pay_all(lead, orders)
        orders.execute("UPDATE orders SET number = 'order-1b', refusal = NULL WHERE refusal IS NOT NULL")
        await paying.pay_all(lead, orders)
        payments = [payment.id async for payment in lead.instant_payments.list()]
        assert len(payments) <= 1
        [(payment_id, refusal)] = orders.execute("SELECT payment_id, refusal FROM orders")
        assert refusal is None or payments == []
        assert payment_id in {None, *payments}

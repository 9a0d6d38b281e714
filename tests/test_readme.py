"""The README's code runs, and its commands are the ones that CI runs."""

import asyncio
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from aiohttp import web

from leadpay.client import LeadClient
from leadpay.sandbox import Sandbox
from leadpay.sandbox.outcomes import PREFIX, STORIES
from leadpay.testing import Deliver

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run_block(number: int) -> dict[str, object]:
    """Execute one block of code and give its names."""
    names: dict[str, object] = {"__name__": f"readme_{number}"}
    exec(compile(BLOCKS[number], f"README block {number}", "exec"), names)  # noqa: S102 - our own README
    return names


def test_it_opens_with_the_two_commands() -> None:
    """A stranger finds them at the top."""
    assert README.index("pip install uv && uv run leadpay demo") < README.index("pip install uv && uv run pytest") < 200


def test_the_sending_block_sends(capsys: object) -> None:
    """The first block makes a payment at the pretend bank."""
    pay = run_block(0)["pay"]
    assert callable(pay)

    async def story() -> int:
        async with Sandbox(delay=0) as bank, bank.client() as lead:
            assert isinstance(lead, LeadClient)
            await pay(lead)
            return len(bank.bank.payments.all())

    assert asyncio.run(story()) == 1


def test_the_receiving_block_mounts() -> None:
    """The second block makes an application with the route."""
    app = run_block(1)["app"]
    assert isinstance(app, web.Application)
    assert [route.resource.canonical for route in app.router.routes() if route.resource] == ["/webhooks/lead"]


@pytest.mark.asyncio
async def test_the_test_of_a_handler_passes(leadpay_deliver: Deliver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third block tests the second, in under fifteen lines."""
    handlers = ModuleType("handlers")
    vars(handlers).update(run_block(1))
    monkeypatch.setitem(sys.modules, "handlers", handlers)
    test = run_block(2)["test_an_incoming_payment_is_credited_and_a_duplicate_does_no_harm"]
    assert callable(test)
    await test(leadpay_deliver)
    assert len(BLOCKS[2].splitlines()) < 15


def test_the_bank_in_code_is_a_bank() -> None:
    """The fourth block is a test that passes."""
    story = run_block(3)["test_a_payment_arrives"]
    assert callable(story)
    asyncio.run(story())


def test_the_table_of_outcomes_is_the_banks() -> None:
    """Every story is there with its number and in its own words."""
    rows = re.findall(r"^\| (\d{7})(\d{3}|RRR)( \*)? \| `(\w+)(:REASON)?` \|", README, re.MULTILINE)
    assert [(number, digits, bool(mark), name, bool(reason)) for number, digits, mark, name, reason in rows] == [
        (
            f"{PREFIX}{story.digit}",
            "RRR" if story.reasons else f"{story.variant:03}",
            story.incoming,
            story.name,
            story.reasons,
        )
        for story in STORIES
    ]

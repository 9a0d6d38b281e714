"""The README's code runs, and its commands are the ones that CI runs."""

import asyncio
import re
from pathlib import Path

from aiohttp import web

from leadpay.client import LeadClient
from leadpay.sandbox import Sandbox

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


def test_the_testing_block_passes() -> None:
    """The third block is a test that passes."""
    story = run_block(2)["test_a_payment_arrives"]
    assert callable(story)
    asyncio.run(story())

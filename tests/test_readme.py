"""The README's code runs, and its commands are the ones that CI runs."""

import asyncio
import re
from pathlib import Path

import pytest
from aiohttp import web

from leadpay.client import LeadClient
from leadpay.sandbox import Sandbox
from leadpay.sandbox.scenarios import PREFIX, SCENARIOS
from tests.support.fences import fences

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = [block.text for block in fences(README) if block.language == "python"]


def run_block(number: int) -> dict[str, object]:
    """Execute one block of code and give its names."""
    names: dict[str, object] = {"__name__": f"readme_{number}"}
    exec(compile(BLOCKS[number], f"README block {number}", "exec"), names)  # noqa: S102 - our own README
    return names


def test_it_opens_with_the_two_commands() -> None:
    """The first two commands are at the top."""
    assert README.index("pip install uv && uv run leadpay demo") < README.index("pip install uv && uv run pytest") < 200


def test_the_sending_block_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block makes a payment at the sandbox, and running it again makes no second one."""
    monkeypatch.chdir(tmp_path)
    pay = run_block(0)["pay"]
    assert callable(pay)

    async def send() -> int:
        async with Sandbox(delay=0) as bank, bank.client() as lead:
            assert isinstance(lead, LeadClient)
            await pay(lead)
            await pay(lead)
            return len(bank.bank.payments.all())

    assert asyncio.run(send()) == 1


def test_the_receiving_block_mounts() -> None:
    """The second block makes an application with the route."""
    app = run_block(1)["app"]
    assert isinstance(app, web.Application)
    assert [route.resource.canonical for route in app.router.routes() if route.resource] == ["/webhooks/lead"]


def test_both_fit_on_a_screen_together() -> None:
    """Sending and receiving are about twenty lines each, and there is no other code to read."""
    assert [len(block.splitlines()) <= 22 for block in BLOCKS] == [True, True]


def test_it_is_read_in_three_minutes() -> None:
    """At two hundred and fifty words a minute; the code, the links and the rows of measured figures not counted."""
    prose = re.sub(
        r"```.*?```|^## Further.*|^\|[^\n]*\*\*[0-9.]+\*\*[^\n]*", "", README, flags=re.DOTALL | re.MULTILINE
    )
    assert len(prose.split()) < 750


def test_the_table_of_scenarios_is_complete() -> None:
    """Every scenario of the sandbox is there, with its number and its name."""
    page = (ROOT / "docs" / "howto" / "sandbox.md").read_text()
    rows = re.findall(r"^\| (\d{7})(\d{3}|RRR)( \*)? \| `(\w+)(:REASON)?` \|", page, re.MULTILINE)
    assert [(number, digits, bool(mark), name, bool(reason)) for number, digits, mark, name, reason in rows] == [
        (
            f"{PREFIX}{scenario.digit}",
            "RRR" if scenario.has_reasons else f"{scenario.variant:03}",
            scenario.incoming,
            scenario.name,
            scenario.has_reasons,
        )
        for scenario in SCENARIOS
    ]

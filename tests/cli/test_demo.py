"""``leadpay demo``: the steps it prints, and its own checks."""

import asyncio

import pytest

from leadpay.cli.demo import Demo
from leadpay.sandbox import Sandbox
from tests.cli.conftest import ExitCode


def test_the_demo_runs_all_steps(exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints six steps, names no person, and exits with 0."""
    assert exit_code_of("demo", "--delay", "0") == 0
    out = capsys.readouterr().out
    assert out.endswith("All checks passed.\n")
    assert all(f"\n{number}. " in out for number in range(1, 7))
    assert "1234567890" not in out
    assert "Alex Smith" not in out


def test_the_demo_fails_without_webhooks() -> None:
    """It says which webhooks are missing, and that checks failed."""
    printed: list[str] = []

    async def run() -> bool:
        async with Sandbox(delay=0) as bank, bank.client() as lead:
            return await Demo(bank, lead, printed.append).run()

    assert asyncio.run(run()) is False
    assert printed[-1] == "Some checks failed."
    assert "FAILED: received instant_payment.rejected" in printed

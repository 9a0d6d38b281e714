"""Calls and commands about account numbers leave no number and no metadata in logs, reprs, errors and output."""

import io

import pytest

from leadpay.cli import app
from leadpay.client import account_number_requests, queries
from leadpay.client.requests import Request
from leadpay.errors import LeadError
from leadpay.models import AllowedCounterparty, CounterpartyControls, InstantPaymentControls
from leadpay.sandbox import Sandbox
from tests.privacy.leaks import ACCOUNT, CLIENT_SECRET, NAME, OTHER_ACCOUNT, LeakDetector

ID = "account_number_1"
ENTRY = AllowedCounterparty(account_number=ACCOUNT, routing_number="111000111")

pytestmark = pytest.mark.asyncio


async def test_calls_tell_no_number(leaks: LeakDetector) -> None:
    """Of the allow-list, of the list's filter, and of errors about either."""
    async with Sandbox(delay=0) as bank, bank.client(observer=leaks.observe) as lead:
        numbers = lead.account_numbers
        found = await numbers.allow(ID, ENTRY, direction="outgoing", counterparty_filter="allowlist_only")
        page = await numbers.list(account_number=OTHER_ACCOUNT)
        metadata = await numbers.update(ID, metadata={"holder": NAME})
        leaks.record(found=found, page=page, metadata=metadata, entry=ENTRY)
        query = queries.account_numbers(account_id=None, account_number=ACCOUNT, limit=None, **dict.fromkeys(CURSORS))
        leaks.record(request=queries.request("/v1/account_number", query))
        leaks.record(update=update())
        for number, wrong in enumerate((ACCOUNT, NAME, f"{ACCOUNT}\n", OTHER_ACCOUNT * 2)):
            for call in (
                lambda wrong=wrong: numbers.retrieve(wrong),
                lambda wrong=wrong: numbers.list(account_number=wrong * 2),
                lambda wrong=wrong: numbers.deny(
                    ID, AllowedCounterparty(account_number=wrong * 2, routing_number=wrong), direction="incoming"
                ),
            ):
                with pytest.raises(LeadError) as caught:
                    await call()
                leaks.record(**{f"error {number}": caught.value})


CURSORS = ("starting_after", "ending_before")


def update() -> Request:
    """The request that writes a list."""
    controls = CounterpartyControls(counterparty_account_numbers_allowlist=(ENTRY,))
    return account_number_requests.update(ID, InstantPaymentControls(incoming=controls), {"holder": NAME}, "key")


async def test_commands_print_no_number(
    leaks: LeakDetector, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables and fields are masked."""
    async with Sandbox(delay=0, client_id="me", client_secret=CLIENT_SECRET) as bank, bank.client() as lead:
        await lead.account_numbers.update(ID, metadata={"holder_id": NAME})
        settings = {"BASE_URL": bank.url, "CLIENT_ID": "me", "CLIENT_SECRET": CLIENT_SECRET}
        for name, value in settings.items():
            monkeypatch.setenv(f"LEAD_{name}", value)
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{ACCOUNT}\n{ACCOUNT}\n"))
        entry = ("--direction", "incoming", "--routing-number", "111000111")
        for arguments in (("allow", ID, *entry), ("show", ID), ("list",), ("deny", ID, *entry)):
            command, bound, *_ = app.parse_args(["account-numbers", *arguments])
            await command(*bound.args, **bound.kwargs)
    printed = capsys.readouterr()
    assert f"…{ACCOUNT[-4:]}" in printed.out
    leaks.record(printed=printed.out + printed.err)

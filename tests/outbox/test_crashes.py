"""Crashes on demand, with the fixtures that users have."""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from leadpay.client import LeadClient
from leadpay.outbox import Outbox, Sender
from leadpay.outbox.crashes import CRASH_POINTS, CrashPoint, crash
from leadpay.testing import TestBank, TestClock
from tests.support.outbox import existing, payment

Crash = Callable[[CrashPoint], AbstractContextManager[None]]


@pytest.mark.asyncio
@pytest.mark.parametrize("point", CRASH_POINTS)
async def test_a_sender_that_crashed_paid_once(  # noqa: PLR0917 - fixtures
    point: CrashPoint,
    leadpay_outbox: Outbox,
    leadpay_client: LeadClient,
    leadpay_sandbox: TestBank,
    leadpay_clock: TestClock,
    leadpay_crash: Crash,
) -> None:
    """The next sender resumes what the first one has written down, once its lease is over."""
    async with leadpay_outbox as outbox:
        await outbox.send(**payment())
        with leadpay_crash(point):
            await Sender(outbox, leadpay_client).run_due()
        assert (await existing(outbox)).state == "sending"
        await leadpay_clock.advance(120)
        await Sender(outbox, leadpay_client).run_due()
        assert (await existing(outbox)).state == "accepted"
    assert len([one async for one in leadpay_client.instant_payments.list()]) == 1


@pytest.mark.asyncio
async def test_a_test_may_write_in_the_outboxs_file(leadpay_outbox: Outbox) -> None:
    """Its own connection joins."""
    async with leadpay_outbox as outbox:
        store: Any = outbox.store
        with sqlite3.connect(store.path) as connection:
            await outbox.send(**payment(), connection=connection)
        connection.close()
        assert (await existing(outbox)).state == "queued"


def test_a_point_that_is_not_reached_fails_the_test(leadpay_crash: Crash) -> None:
    """And a point that does not exist is refused."""
    with pytest.raises(AssertionError, match="no sender came"), leadpay_crash("between answer and commit"):
        pass
    with pytest.raises(ZeroDivisionError), crash("between answer and commit"):
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="must be one of"), crash("somewhere"):  # type: ignore[arg-type]  # on purpose
        pass

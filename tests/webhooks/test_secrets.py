"""Signing secrets: fingerprints, what each one's state means, and what a receiver writes about them."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leadpay.instrumentation import Observation, SecretMatched
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.secrets import RETRY_PERIOD, SecretRecorder, SecretUse, fingerprint, secret_statuses
from tests.webhooks.conftest import NOW, StoppedClock

NEW, OLD = "whsec_new", "whsec_old"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def use(name: str, last: datetime | None = None, *, first: datetime = NOON, verified: int = 1) -> SecretUse:
    """Make what an inbox knows."""
    return SecretUse(
        fingerprint=name, first_seen_at=first, last_verified_at=last, verified=0 if last is None else verified
    )


def test_a_fingerprint_is_short_stable_and_not_the_secret() -> None:
    """Text and bytes of one secret have one fingerprint, and it is no plain hash that a table could hold."""
    assert fingerprint(NEW) == fingerprint(NEW.encode()) == "09bb4a4e"
    assert fingerprint(OLD) != fingerprint(NEW)


@pytest.mark.parametrize(
    ("uses", "now", "states", "safe_since"),
    [
        ([], NOON, ["unproven", "needed"], None),
        ([use("new"), use("old")], NOON + RETRY_PERIOD, ["unproven", "needed"], None),
        ([use("new"), use("old", NOON)], NOON + RETRY_PERIOD, ["unproven", "needed"], None),
        ([use("new", NOON), use("old", NOON + HOUR)], NOON + RETRY_PERIOD * 2, ["in use", "needed"], None),
        ([use("new", NOON + HOUR), use("old", NOON)], NOON + HOUR, ["in use", "wait"], NOON + RETRY_PERIOD),
        (
            [use("new", NOON + HOUR), use("old", NOON)],
            NOON + RETRY_PERIOD,
            ["in use", "safe to drop"],
            NOON + RETRY_PERIOD,
        ),
        ([use("new", NOON + HOUR), use("old")], NOON + RETRY_PERIOD, ["in use", "safe to drop"], NOON + RETRY_PERIOD),
    ],
)
def test_an_old_secret_is_safe_to_drop_three_days_after_the_first_took_over(
    uses: Sequence[SecretUse], now: datetime, states: Sequence[str], safe_since: datetime | None
) -> None:
    """The bank repeats a webhook for three days, and the first must have verified something since."""
    found = secret_statuses(["new", "old"], uses, now)
    assert [one.state for one in found] == states
    assert [one.position for one in found] == [1, 2]
    assert found[0].safe_since is None
    assert found[1].safe_since == safe_since


def test_a_secret_that_is_no_longer_configured_is_listed_last() -> None:
    """Its history stays, so that a person sees that it was dropped too early."""
    found = secret_statuses([], [use("b", NOON), use("a")], NOON)
    assert [(one.fingerprint, one.state, one.position, one.last_verified_at) for one in found] == [
        ("a", "removed", None, None),
        ("b", "removed", None, NOON),
    ]


class Store:
    """A store of events that keeps what is recorded of secrets, and fails on demand."""

    def __init__(self) -> None:
        self.written: list[list[SecretUse]] = []
        self.failing = False

    async def add(self, event: Any, body: bytes, *, received_at: datetime) -> bool:
        """Accept."""
        return True

    async def add_unreadable(self, event_id: str | None, body: bytes, problems: Any, *, received_at: datetime) -> bool:
        """Accept."""
        return True

    async def record_secrets(self, uses: Sequence[SecretUse]) -> None:
        """Keep them, or fail."""
        if self.failing:
            raise RuntimeError("canary")
        self.written.append(list(uses))

    async def secrets(self) -> Sequence[SecretUse]:
        """Not asked by a receiver."""
        raise NotImplementedError


class SlowClock(StoppedClock):
    """A clock whose sleepers wait for an event."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self.woken.wait()


def counts(uses: Sequence[SecretUse]) -> dict[str, int]:
    """Give what was counted, by fingerprint."""
    return {one.fingerprint: one.verified for one in uses}


@pytest.mark.asyncio
async def test_verifications_are_written_at_once_and_then_together() -> None:
    """The first of a second is written in the background, the others after it, the rest at the stop."""
    store, clock = Store(), SlowClock()
    recorder = SecretRecorder([NEW, OLD], store=store, clock=clock, observer=None)
    new, old = recorder.fingerprints
    await recorder.start()
    assert counts(store.written.pop()) == {new: 0, old: 0}
    recorder.record(0, NOW)
    await asyncio.sleep(0.001)
    recorder.record(0, NOW + 1)
    recorder.record(1, NOW + 2)
    recorder.record(0, NOW + 3)
    assert [counts(one) for one in store.written] == [{new: 1}]
    clock.woken.set()
    await asyncio.sleep(0.001)
    assert counts(store.written[1]) == {new: 2, old: 1}
    assert store.written[1][0].last_verified_at == datetime.fromtimestamp(NOW + 3, UTC)
    clock.woken.clear()
    recorder.record(0, NOW)
    await asyncio.sleep(0.001)
    recorder.record(0, NOW)
    await recorder.stop()
    assert [counts(one) for one in store.written[2:]] == [{new: 1}, {new: 1}]
    await recorder.stop()
    assert len(store.written) == 4


@pytest.mark.asyncio
async def test_a_store_that_fails_loses_no_count(caplog: pytest.LogCaptureFixture) -> None:
    """It is written the next time, together with what came meanwhile; the message is not logged."""
    store, clock = Store(), StoppedClock()
    store.failing = True
    recorder = SecretRecorder([NEW, OLD], store=store, clock=clock, observer=None)
    new, old = recorder.fingerprints
    await recorder.start()
    recorder.record(0, NOW)
    await recorder.stop()
    recorder.record(0, NOW + 1)
    store.failing = False
    await recorder.stop()
    [uses] = store.written
    assert counts(uses) == {new: 2, old: 0}
    assert "RuntimeError" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.asyncio
async def test_a_count_that_comes_while_a_write_fails_is_added() -> None:
    """Neither the earlier nor the later one is lost, and the later time counts."""
    store, entered, leave = Store(), asyncio.Event(), asyncio.Event()

    class Waiting(Store):
        async def record_secrets(self, uses: Sequence[SecretUse]) -> None:
            entered.set()
            await leave.wait()
            await store.record_secrets(uses)

    recorder = SecretRecorder([NEW, OLD], store=Waiting(), clock=SlowClock(), observer=None)
    recorder.record(0, NOW)
    await entered.wait()
    recorder.record(0, NOW + 1)
    store.failing = True
    leave.set()
    await asyncio.sleep(0.001)
    store.failing = False
    await recorder.stop()
    [[written]] = store.written
    assert (written.verified, written.last_verified_at) == (2, datetime.fromtimestamp(NOW + 1, UTC))


@pytest.mark.asyncio
async def test_a_receiver_without_an_inbox_warns_once_that_only_an_older_secret_matches(
    clock: Any, make_body: Callable[..., bytes], signed: Callable[..., dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    """Secrets are named by their fingerprints; once the first has matched, an older one is expected for a while."""
    observed: list[Observation] = []
    body = make_body()
    for observer in (None, observed.append):
        caplog.clear()
        receiver = WebhookReceiver(WebhookRouter("r"), secrets=[NEW, OLD], clock=clock, observer=observer)
        async with receiver:
            for secret in (OLD, OLD, NEW, NEW, OLD):
                assert await receiver.receive(body=body, headers=signed(body, secret)) == 200
        warnings = [one for one in caplog.records if "older signing secret" in one.getMessage()]
        assert len(warnings) == 1
        assert fingerprint(OLD) in warnings[0].getMessage()
        assert "whsec" not in caplog.text
    caplog.clear()
    receiver = WebhookReceiver(WebhookRouter("r"), secrets=[NEW, OLD], clock=clock)
    for secret in (NEW, OLD):
        await receiver.receive(body=body, headers=signed(body, secret))
    assert "older signing secret" not in caplog.text
    matched = [one for one in observed if isinstance(one, SecretMatched)]
    assert [(one.fingerprint, one.position) for one in matched[1:3]] == [(fingerprint(OLD), 2), (fingerprint(NEW), 1)]


@pytest.mark.asyncio
async def test_a_receiver_writes_what_its_secrets_verified(
    clock: Any, make_body: Callable[..., bytes], signed: Callable[..., dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    """Duplicates and unreadable events count too, forged ones don't."""
    caplog.set_level(logging.CRITICAL)
    store: Any = Store()
    receiver = WebhookReceiver(WebhookRouter("r"), secrets=[NEW, OLD], clock=clock, inbox=store, work=False)
    async with receiver:
        for body in (make_body(), make_body(), b"{}"):
            await receiver.receive(body=body, headers=signed(body, OLD))
        await receiver.receive(body=b"{}", headers=signed(b"{}", "whsec_forged"))
    total = sum(one.verified for uses in store.written for one in uses if one.fingerprint == fingerprint(OLD))
    assert total == 3

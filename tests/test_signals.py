"""SIGTERM and SIGINT as an event."""

import asyncio
import signal
import threading
from typing import Any

import pytest

from leadpay.signals import STOP_SIGNALS, stop_on_signals


@pytest.mark.asyncio
@pytest.mark.parametrize("number", STOP_SIGNALS)
async def test_a_signal_sets_the_event_and_the_next_one_meets_the_former_handler(number: signal.Signals) -> None:
    """The first signal stops in peace, and a second one does what it did before."""
    seen: list[int] = []
    original = signal.signal(number, lambda number, _: seen.append(number))
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(number)
            await asyncio.wait_for(stop.wait(), 30)
            assert seen == []
            signal.raise_signal(number)
            assert seen == [number]
        assert signal.getsignal(number) is not original
    finally:
        signal.signal(number, original)


@pytest.mark.asyncio
async def test_without_a_signal_the_former_handlers_are_restored() -> None:
    """Also where Python did not install them."""
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with stop_on_signals() as stop:
        assert [signal.getsignal(number) for number in STOP_SIGNALS] != before
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
    assert not stop.is_set()


def test_in_another_thread_nothing_is_installed() -> None:
    """Only the main thread can handle signals."""
    found: list[Any] = []

    async def enter() -> None:
        with stop_on_signals() as stop:
            found.append((stop.is_set(), [signal.getsignal(number) for number in STOP_SIGNALS]))

    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    thread = threading.Thread(target=lambda: asyncio.run(enter()))
    thread.start()
    thread.join(30)
    assert found == [(False, before)]

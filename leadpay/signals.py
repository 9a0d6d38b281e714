"""Turn SIGTERM and SIGINT into an event, also where an event loop handles no signals."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_on_signals() -> Iterator[asyncio.Event]:
    """Give an event that SIGTERM or SIGINT sets.

    The handlers of before are back after the first signal, so that a second one ends the process at once. Only the main
    thread can handle signals: in another thread, nothing sets the event.
    """
    stop = asyncio.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    loop = asyncio.get_running_loop()
    # None stands for a handler that Python did not install, and cannot install again.
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in STOP_SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(*_: Any) -> None:
        restore()
        # Called from a signal handler, this makes a waiting loop run.
        loop.call_soon_threadsafe(stop.set)

    # Not loop.add_signal_handler: Windows has none, and it forgets the handlers of before.
    for number in STOP_SIGNALS:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        restore()

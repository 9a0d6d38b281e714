"""A lock that threads get in the order in which they asked for it."""

import threading
from collections.abc import Callable

from leadpay.storage.sqlite.fair_lock import FairLock


def waiting(lock: FairLock, then: Callable[[bool], object], seconds: float = 30.0) -> threading.Thread:
    """Start a thread that waits for the lock, and wait until it does."""
    before = len(lock._waiting)
    thread = threading.Thread(target=lambda: then(lock.acquire(seconds)))
    thread.start()
    while seconds and len(lock._waiting) == before:
        threading.Event().wait(0.001)
    return thread


def test_threads_get_it_in_the_order_in_which_they_asked() -> None:
    """Also if the one that had it asks again at once."""
    lock, order = FairLock(), []
    assert lock.acquire(0)

    def note(name: str) -> Callable[[bool], object]:
        return lambda acquired: order.append((name, acquired)) or lock.release()  # type: ignore[func-returns-value]

    threads = [waiting(lock, note(name)) for name in ("first", "second")]
    lock.release()
    assert lock.acquire(30)
    assert order == [("first", True), ("second", True)]
    lock.release()
    for thread in threads:
        thread.join()


def test_a_thread_that_waits_in_vain_is_forgotten() -> None:
    """The lock goes to the next one, and is free at the end."""
    lock = FairLock()
    results: list[bool] = []
    assert lock.acquire(0)
    waiting(lock, results.append, seconds=0.0).join()
    assert results == [False]
    assert not lock._waiting
    lock.release()
    assert lock.acquire(0)


def test_what_is_handed_over_in_the_last_moment_is_kept() -> None:
    """The time was over, and the lock is there all the same."""
    lock = FairLock()
    assert lock.acquire(0)

    class Impatient:
        """A mutex that lets the lock be handed over before the one that waited looks."""

        uses = 0

        def __enter__(self) -> None:
            self.uses += 1
            if self.uses == 2:
                lock._waiting.popleft().release()

        def __exit__(self, *exc_info: object) -> None: ...

    lock._mutex = Impatient()  # type: ignore[assignment]
    assert lock.acquire(0)

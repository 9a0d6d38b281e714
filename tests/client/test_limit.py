"""One timer for all who wait equally long."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from leadpay.client.limit import TimeLimit

LONG = 30.0
SHORT = 0.01


@contextmanager
def within(limit: TimeLimit) -> Iterator[None]:
    """Do as a limit's docstring says."""
    wait = limit.begin()
    try:
        yield
    except BaseException as error:
        limit.end(wait, error)
        raise
    limit.end(wait)


async def wait(limit: TimeLimit) -> None:
    """Wait within a limit for what never comes."""
    with within(limit):
        await asyncio.Event().wait()


@pytest.mark.asyncio
async def test_who_takes_too_long_is_stopped_and_goes_on_as_if_never_cancelled() -> None:
    """A time that is over is an error like others, after which one can wait again."""
    task = asyncio.current_task()
    assert task is not None
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await wait(TimeLimit(SHORT))
    assert task.cancelling() == 0


@pytest.mark.asyncio
async def test_who_is_in_time_is_left_alone() -> None:
    """Its end takes it out of what the timer looks at."""
    limit = TimeLimit(SHORT)
    with within(limit):
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await wait(TimeLimit(2 * SHORT))


@pytest.mark.asyncio
async def test_a_time_that_is_over_before_it_begins_leaves_none() -> None:
    """As where a call's last attempt begins too late."""
    with pytest.raises(TimeoutError):
        await wait(TimeLimit(-1.0))


@pytest.mark.asyncio
async def test_a_stop_that_was_swallowed_leaves_nothing_behind() -> None:
    """The work came to its end all the same, and the task goes on as if never cancelled."""
    task = asyncio.current_task()
    assert task is not None
    with within(TimeLimit(SHORT)), suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    assert task.cancelling() == 0


@pytest.mark.asyncio
async def test_each_has_its_own_end() -> None:
    """Whoever began later is stopped later, by the same timer."""
    limit = TimeLimit(3 * SHORT)
    clock = asyncio.get_running_loop().time
    took = []

    async def measure() -> None:
        start = clock()
        with pytest.raises(TimeoutError):
            await wait(limit)
        took.append(clock() - start)

    first = asyncio.create_task(measure())
    with pytest.raises(TimeoutError):
        await wait(TimeLimit(SHORT))
    await asyncio.gather(first, measure())
    assert min(took) >= 3 * SHORT


@pytest.mark.asyncio
async def test_a_task_may_wait_within_a_wait() -> None:
    """As where the hooks of a borrowed session make calls of their own; the outer limit goes on."""
    limit = TimeLimit(2 * SHORT)

    async def twice() -> None:
        with within(limit):
            with within(limit):
                await asyncio.sleep(0)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await twice()


@pytest.mark.asyncio
async def test_somebody_elses_cancelling_is_none_of_ours() -> None:
    """It stays a cancellation."""
    task = asyncio.create_task(wait(TimeLimit(LONG)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.asyncio
async def test_somebody_elses_cancelling_goes_before_a_time_that_is_over() -> None:
    """Both at once: whoever cancels a task waits for it to be cancelled."""

    async def both() -> None:
        task = asyncio.current_task()
        assert task is not None
        with within(TimeLimit(SHORT)):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task.cancel()
                raise

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(both())


@pytest.mark.asyncio
async def test_an_error_on_the_way_out_stands() -> None:
    """What the work made of being stopped says more."""

    async def fail() -> None:
        with within(TimeLimit(SHORT)):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise LookupError from None

    with pytest.raises(LookupError):
        await fail()


class StandingStill(asyncio.SelectorEventLoop):
    """An event loop without a passing of time."""

    def time(self) -> float:
        """It is always now."""
        return 0.0


def test_a_task_may_begin_twice_in_one_tick_of_a_clock() -> None:
    """Each wait ends by itself."""

    async def begin_twice() -> None:
        limit = TimeLimit(LONG)
        first, second = limit.begin(), limit.begin()
        assert first != second
        limit.end(second)
        limit.end(first)

    with asyncio.Runner(loop_factory=StandingStill) as runner:
        runner.run(begin_twice())

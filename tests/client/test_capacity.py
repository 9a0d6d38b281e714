"""When attempts begin, in virtual time: many calls at once, a slow bank, a bank that is away, limits and pauses."""

import asyncio
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from leadpay.client.auth import FixedToken
from leadpay.client.capacity import MAX_IN_FLIGHT, MAX_SHARED_PAUSE, Capacity
from leadpay.client.executor import RequestExecutor
from leadpay.client.instant_payments import InstantPayments
from leadpay.client.requests import Request
from leadpay.client.retry import RetryPolicy
from leadpay.client.transport import Response
from leadpay.config import Timeouts
from leadpay.errors import ConfigurationError, LeadError, RateLimitError, RequestNotSentError
from leadpay.models import InstantPayment
from tests.support.scripted_transport import error, ok, payment, send


class _Selector(selectors.DefaultSelector):
    """Lets virtual time pass instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        """Look, and let the time pass that the loop would wait."""
        self.now += timeout or 0.0
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers are due at once, in their order."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual time."""
        return self._virtual.now


class LoopClock:
    """The time of the running event loop."""

    def now(self) -> float:
        """Seconds since 1970."""
        return 1_800_000_000.0 + self.monotonic()

    def monotonic(self) -> float:
        """The loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)


class Bank:
    """Responds as a function says, and counts."""

    base_url = "https://bank.example"

    def __init__(self, respond: Callable[[int], Coroutine[Any, Any, Response]], **settings: Any) -> None:
        self.respond = respond
        self.started: list[float] = []
        self.at_once = 0
        self.most_at_once = 0
        clock, rng = LoopClock(), Random(7)  # noqa: S311 - spreads pauses
        executor = RequestExecutor(
            self,
            FixedToken("token"),
            policy=settings.pop("policy", RetryPolicy()),
            timeouts=settings.pop("timeouts", Timeouts()),
            clock=clock,
            rng=rng,
            capacity=Capacity(clock, rng, **settings),
        )
        self.payments = InstantPayments(executor)

    def open(self) -> None:
        """Be ready."""

    async def send(self, request: Request, token: str | None, left: float) -> Response:
        """Respond."""
        self.started.append(asyncio.get_running_loop().time())
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            return await self.respond(len(self.started))
        finally:
            self.at_once -= 1


def in_virtual_time(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine function."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work())


async def send_all(bank: Any, count: int) -> Counter[str]:
    """Send many payments at once, and count the classes of what comes back."""
    sent = await asyncio.gather(*(send(bank) for _ in range(count)), return_exceptions=True)
    return Counter(type(one).__name__ for one in sent)


@pytest.mark.parametrize(("seconds", "count"), [(1.0, 5000), (4.0, 1000)])
def test_calls_wait_for_a_slow_bank_as_long_as_their_deadline_allows(seconds: float, count: int) -> None:
    """No call fails in the queue of its own client, and no more than so many are under way."""

    async def work() -> None:
        async def respond(_: int) -> Response:
            await asyncio.sleep(seconds)
            return ok(payment())

        bank = Bank(respond)
        assert await send_all(bank, count) == {"InstantPayment": count}
        assert bank.most_at_once == MAX_IN_FLIGHT
        assert len(bank.started) == count

    in_virtual_time(work)


def test_500_sends_to_a_bank_that_allows_50_a_second_all_succeed() -> None:
    """With ``Retry-After``, and with nothing but the 429."""

    async def work() -> None:
        for headers in ({"Retry-After": "1"}, {"Retry-After": "0.5"}, {}):
            taken: list[float] = []

            async def respond(_: int, taken: list[float] = taken, headers: dict[str, str] = headers) -> Response:
                now = asyncio.get_running_loop().time()
                if sum(then > now - 1 for then in taken) >= 50:
                    return error(429, headers)
                taken.append(now)
                return ok(payment())

            assert await send_all(Bank(respond), 500) == {"InstantPayment": 500}

    in_virtual_time(work)


@pytest.mark.parametrize("away", [6.0, 20.0, 50.0])
def test_a_bank_that_is_away_for_a_part_of_the_deadline_fails_no_send(away: float) -> None:
    """Attempts without a connection are bounded by the call's time, and not by a count."""

    async def work() -> None:
        back = asyncio.get_running_loop().time() + away

        async def respond(_: int) -> Response:
            if asyncio.get_running_loop().time() < back:
                raise RequestNotSentError("no connection")
            return ok(payment())

        bank = Bank(respond)
        assert await send_all(bank, 200) == {"InstantPayment": 200}
        assert len(bank.started) < 200 * 40

    in_virtual_time(work)


def test_a_call_whose_deadline_passes_in_the_queue_was_not_sent() -> None:
    """The error has the key, and the calls before it are not disturbed."""

    async def work() -> None:
        async def respond(_: int) -> Response:
            await asyncio.sleep(15)
            return ok(payment())

        bank = Bank(respond, timeouts=Timeouts(deadline=20))
        sent = await asyncio.gather(*(send(bank, f"k{n}") for n in range(300)), return_exceptions=True)  # type: ignore[arg-type]
        kinds = [type(one) for one in sent]
        assert kinds == [InstantPayment] * 200 + [RequestNotSentError] * 100
        late = sent[-1]
        assert isinstance(late, RequestNotSentError)
        assert (late.idempotency_key, str(late)) == ("k299", "the deadline passed in this client's queue")
        assert len(bank.started) == 200

    in_virtual_time(work)


def test_max_per_second_spaces_the_attempts() -> None:
    """Evenly, in the order of the calls; a call that cannot begin before its deadline says so at once."""

    async def work() -> None:
        async def respond(_: int) -> Response:
            return ok(payment())

        bank = Bank(respond, max_per_second=10)
        assert await send_all(bank, 100) == {"InstantPayment": 100}
        gaps = [later - earlier for earlier, later in zip(bank.started, bank.started[1:], strict=False)]
        assert min(gaps) == pytest.approx(0.1)
        slow = Bank(respond, max_per_second=0.01)
        await send(slow)  # type: ignore[arg-type]
        with pytest.raises(RequestNotSentError, match="max_per_second"):
            await send(slow)  # type: ignore[arg-type]
        assert slow.at_once == 0

    in_virtual_time(work)


@pytest.mark.parametrize("bad", [0, -1, True, "5", float("inf"), float("nan")])
def test_a_limit_that_makes_no_sense_is_refused(bad: Any) -> None:
    """When it is made, not when it is needed."""
    with pytest.raises(ConfigurationError):
        Capacity(LoopClock(), Random(), bad)  # noqa: S311 - guards nothing


def test_a_pause_that_one_call_learned_holds_back_the_others() -> None:
    """They begin after it, not all in the same instant; a pause beyond the deadline fails them without an attempt."""

    async def work() -> None:
        asked = "5"

        async def respond(number: int) -> Response:
            return error(429, {"Retry-After": asked}) if number == 1 else ok(payment())

        bank = Bank(respond)
        first = asyncio.create_task(send(bank))  # type: ignore[arg-type]
        await asyncio.sleep(1)
        assert await send_all(bank, 50) == {"InstantPayment": 50}
        await first
        begun = [start - bank.started[0] for start in bank.started[1:]]
        assert min(begun) >= 5
        assert len(set(begun)) > 40
        asked = "3600"
        bank = Bank(respond)
        with pytest.raises(RateLimitError):
            await send(bank)  # type: ignore[arg-type]
        with pytest.raises(RequestNotSentError, match="pause") as caught:
            await send(bank)  # type: ignore[arg-type]
        assert caught.value.retry_after == pytest.approx(MAX_SHARED_PAUSE)
        assert len(bank.started) == 1
        await asyncio.sleep(MAX_SHARED_PAUSE)
        await send(bank)  # type: ignore[arg-type]

    in_virtual_time(work)


def test_a_call_that_is_cancelled_in_the_queue_gives_its_place_back() -> None:
    """In the queue, and while it waits for a pause to end."""

    async def work() -> None:
        async def respond(number: int) -> Response:
            await asyncio.sleep(1)
            return error(503, {"Retry-After": "3"}) if number == 1 else ok(payment())

        bank = Bank(respond)
        calls = [asyncio.create_task(send(bank)) for _ in range(150)]  # type: ignore[arg-type]
        await asyncio.sleep(0.5)
        calls[-1].cancel()
        await asyncio.sleep(2)
        waiting = asyncio.create_task(send(bank))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        waiting.cancel()
        done = await asyncio.gather(*calls, waiting, return_exceptions=True)
        assert Counter(type(one).__name__ for one in done) == {"InstantPayment": 149, "CancelledError": 2}
        assert await send_all(bank, 100) == {"InstantPayment": 100}

    in_virtual_time(work)


def test_an_error_of_the_queue_after_a_lost_response_leaves_the_outcome_unknown() -> None:
    """What is true of this attempt is not true of the payment."""

    async def work() -> None:
        async def respond(number: int) -> Response:
            return error(503, {"Retry-After": "3600"})

        bank = Bank(respond, policy=RetryPolicy(max_attempts=1))
        for key in ("one", "two"):
            with pytest.raises(LeadError) as caught:
                await bank.payments.cancel("instant_payment_1", idempotency_key=key, resuming=True)
            assert type(caught.value).__name__ == "OutcomeUnknownError"

    in_virtual_time(work)

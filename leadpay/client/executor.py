"""One call with all its attempts: which answer may be followed by another attempt, and what is raised in the end."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any, Final, Protocol, TypeVar

from leadpay.client.auth import TokenSource
from leadpay.client.outcome import CONFLICT, SERVER_ERROR, Attempts, Disposition, classify, is_yes
from leadpay.client.requests import Request, RetrySafety
from leadpay.client.retry import RetryPolicy, retry_after
from leadpay.client.transport import MAX_RESPONSE_BYTES, Response, Send
from leadpay.clock import Clock
from leadpay.config import Timeouts
from leadpay.converter import decode
from leadpay.errors import (
    APIError,
    LeadError,
    MalformedResponseError,
    NoAnswerError,
    Problem,
    RequestNotSentError,
)

logger = logging.getLogger("leadpay.client")

T = TypeVar("T")

REQUEST_ID: Final = "X-Request-Id"
"""Where the bank's own number for a request is looked for; which header it uses is not published."""


def make_idempotency_key() -> str:
    """Make an idempotency key that was never used: 128 random bits in hexadecimal."""
    return os.urandom(16).hex()


Settle = Callable[[float], Awaitable[T | None]]
"""Reads, before a deadline, whether a write of unknown outcome has happened: its result, or None if it has not."""


class Open(Protocol):
    """Gives what makes calls, if the client is open."""

    def __call__(self, key: str | None = None) -> "RequestExecutor":
        """Give it; the error of a closed client has the key."""
        ...


class RequestExecutor:
    """Makes calls."""

    def __init__(  # noqa: PLR0917 - made in one place
        self,
        send: Send,
        tokens: TokenSource | None,
        policy: RetryPolicy,
        timeouts: Timeouts,
        clock: Clock,
        rng: Random,
        new_idempotency_key: Callable[[], str] = make_idempotency_key,
    ) -> None:
        self._send = send
        self._tokens = tokens
        self._policy = policy
        self._timeouts = timeouts
        self.clock = clock
        self._rng = rng
        self.new_idempotency_key = new_idempotency_key
        self._now = clock.monotonic

    def call(
        self,
        request: Request,
        read: Callable[[bytes], T],
        *,
        settle: Settle[T] | None = None,
        deadline: float | None = None,
    ) -> Coroutine[Any, Any, T]:
        """Make one call, with as many attempts as its kind, the policy and the time allow.

        Args:
            request: what to send.
            read: makes the result of the answer's body; a ValueError means that it isn't JSON.
            settle: for writes of RetrySafety.VERIFY_FIRST.
            deadline: on the clock's monotonic scale; the timeouts' if left out.

        Raises:
            LeadError: whatever prevents a result; every error of a write has its key.
        """
        attempts = Attempts(request, self._now() + self._timeouts.deadline if deadline is None else deadline)
        return self._make(attempts, read, settle)

    async def _make(self, attempts: Attempts, read: Callable[[bytes], T], settle: Settle[T] | None) -> T:
        request = attempts.request
        try:
            while True:
                # All in one coroutine: each one more that a call goes through costs as much as its retry state.
                token = self._token_at_hand(attempts)
                if token is None and self._tokens is not None:
                    token = await self._new_token(attempts, self._tokens)
                start = self._now()
                attempts.count += 1
                attempts.renewing = False
                attempts.on_its_way = True
                try:
                    response = await self._go(attempts, token, attempts.deadline - start)
                except (RequestNotSentError, NoAnswerError) as error:
                    self._unanswered(attempts, error, start)
                else:
                    attempts.on_its_way = False
                    self._log(attempts, start, response)
                    if is_yes(response.status):
                        return self._read(response, attempts, read)
                    self._refused(attempts, response, token)
                if settle is not None and attempts.is_open:
                    settled = await self._settle(attempts, settle)
                    if settled is not None:
                        return settled
                await self._pause(
                    attempts, may_repeat=request.kind is not RetrySafety.VERIFY_FIRST or settle is not None
                )
        except asyncio.CancelledError as cancelled:
            if request.key is not None and attempts.may_have_happened:
                note = f"{request.operation} was cancelled and may have happened; idempotency_key={request.key!r}"
                logger.warning("%s", note)
                cancelled.add_note(note)
            raise

    def _unanswered(self, attempts: Attempts, error: RequestNotSentError | NoAnswerError, start: float) -> None:
        attempts.on_its_way = False
        self._log(attempts, start, error)
        attempts.error = error
        if isinstance(error, NoAnswerError):
            attempts.doubt = error

    def _refused(self, attempts: Attempts, response: Response, token: str | None) -> None:
        """Remember an answer that is no yes, if it is no reason to stop, else raise."""
        verdict = classify(response.status, attempts.request.kind)
        attempts.error = self._error(response)
        if verdict is Disposition.UNKNOWN:
            attempts.doubt = attempts.error
        elif verdict is Disposition.UNAUTHORIZED and token is not None and attempts.rejected is None:
            # Once: the bank may hand out the refused token again.
            attempts.rejected, attempts.renewing = token, True
        elif verdict is not Disposition.NOT_DONE and not attempts.is_open:
            # Where it may be the refusal of a repetition, the payment is read before it counts.
            raise attempts.signed(attempts.error) if verdict is Disposition.REFUSED else attempts.final()

    def _go(self, attempts: Attempts, token: str | None, left: float) -> Awaitable[Response]:
        return self._send(attempts.request, token, left)

    def _token_at_hand(self, attempts: Attempts) -> str | None:
        return self._tokens.current() if self._tokens is not None and attempts.rejected is None else None

    async def _new_token(self, attempts: Attempts, tokens: TokenSource) -> str:
        try:
            async with asyncio.timeout(attempts.deadline - self._now()):
                token = await tokens.get(attempts.rejected)
        except (LeadError, TimeoutError) as error:
            raise self._without_token(attempts, error) from None
        if token == attempts.rejected:
            raise self._without_token(attempts, attempts.error)
        return token

    def _without_token(self, attempts: Attempts, error: Exception) -> LeadError:
        """Choose what is raised: the refusal of a token, or that this attempt was not sent."""
        if isinstance(error, APIError) and error.status < SERVER_ERROR:
            attempts.error = error
        else:
            attempts.error = RequestNotSentError(f"no access token: {type(error).__name__}")
        return attempts.final()

    def _read(self, response: Response, attempts: Attempts, read: Callable[[bytes], T]) -> T:
        try:
            if response.body is None:
                raise _malformed(f"is larger than {MAX_RESPONSE_BYTES} bytes")
            try:
                return read(response.body)
            except ValueError:
                raise _malformed("is not JSON in UTF-8") from None
        except MalformedResponseError as error:
            error.body, error.status = response.body, response.status
            raise attempts.signed(error) from None

    def _error(self, response: Response) -> APIError:
        try:
            problem = decode(response.body or b"")
        except ValueError:
            problem = None  # a proxy's HTML
        wait = retry_after(response.headers.get("Retry-After"), now=self.clock.now())
        return APIError.of(
            response.status,
            problem if isinstance(problem, dict) else None,
            request_id=response.headers.get(REQUEST_ID),
            retry_after=wait,
        )

    async def _settle(self, attempts: Attempts, settle: Settle[T]) -> T | None:
        """Look whether it has happened; a definite refusal of ours stands if it has not."""
        try:
            settled = await settle(attempts.deadline)
        except LeadError:
            raise attempts.final() from None
        error = attempts.error
        # If the bank does look at the key, 409 says that it is at work on an earlier attempt.
        refused = (
            isinstance(error, APIError)
            and error.status != CONFLICT
            and classify(error.status, RetrySafety.VERIFY_FIRST) not in {Disposition.UNKNOWN, Disposition.NOT_DONE}
        )
        if settled is None and refused:
            raise attempts.signed(error)
        return settled

    async def _pause(self, attempts: Attempts, *, may_repeat: bool) -> None:
        """Wait before the next attempt, or raise what all of them came to.

        ``may_repeat`` is False where nobody can tell a repetition from the first.
        """
        error = attempts.error
        if attempts.renewing:
            return
        wait = self._policy.wait(
            attempts.count,
            left=attempts.deadline - self._now(),
            random=self._rng.random(),
            retry_after=error.retry_after if isinstance(error, APIError) else None,
        )
        if wait is None or (attempts.unknown and not may_repeat):
            if attempts.unknown and attempts.request.kind is not RetrySafety.SAFE:
                logger.warning("%s: outcome unknown, %d attempts", attempts.request.operation, attempts.count)
            raise attempts.final()
        logger.info("%s: attempt %d failed, again in %.3f s", attempts.request.operation, attempts.count, wait)
        await self.clock.sleep(wait)

    def _log(self, attempts: Attempts, start: float, result: Response | LeadError) -> None:
        if not logger.isEnabledFor(logging.DEBUG):
            return
        request = attempts.request
        path = request.path.partition("?")[0]
        took = (self._now() - start) * 1000
        answer = result if isinstance(result, Response) else None
        logger.debug(
            "%s %s -> %s (attempt %d, %.1f ms, request id %s)",
            request.method,
            path,
            answer.status if answer else type(result).__name__,
            attempts.count,
            took,
            answer.headers.get(REQUEST_ID) if answer else None,
        )


def _malformed(reason: str) -> MalformedResponseError:
    return MalformedResponseError([Problem("$", reason)])

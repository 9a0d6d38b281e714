"""One call with all its attempts: which response is followed by another attempt, and what is raised in the end."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Final, Protocol, TypeVar

from leadpay.client.auth import TokenSource
from leadpay.client.outcome import SERVER_ERROR, CallState, Disposition, classify
from leadpay.client.requests import Request, RetrySafety
from leadpay.client.retry import RetryPolicy, retry_after
from leadpay.client.transport import MAX_RESPONSE_BYTES, Response
from leadpay.clock import Clock
from leadpay.config import Timeouts
from leadpay.converter import decode
from leadpay.errors import (
    APIError,
    LeadError,
    MalformedResponseError,
    NoAnswerError,
    OutcomeUnknownError,
    Problem,
    RequestNotSentError,
)
from leadpay.instrumentation import AttemptEnded, AttemptStarted, CallEnded, CallStarted, Observer, notify
from leadpay.models import InstantPayment

logger = logging.getLogger("leadpay.client")

T = TypeVar("T")

REQUEST_ID: Final = "X-Request-Id"
"""The header with the bank's own number for a request; which one the bank uses is not published."""

Verify = Callable[[float], Awaitable[T | None]]
"""Reads, before a deadline, whether a write with an unknown outcome was executed: its result, or None if it was not."""


make_idempotency_key: Final[Callable[[], str]] = partial(secrets.token_hex, 16)
"""Makes an idempotency key that was never used: 128 random bits in hexadecimal."""


class Sender(Protocol):
    """What sends single requests: the Transport, or an object of a test."""

    base_url: str

    def open(self) -> None:
        """Get ready in the running event loop, or raise ConfigurationError."""
        ...

    async def send(self, request: Request, token: str | None, left: float) -> Response:
        """Send one request with a token, or without, within so many seconds."""
        ...


class RequestExecutor:
    """Makes calls.

    Args:
        sender: sends one request.
        tokens: gives the token of each request; None to send without one.
        policy: when to try again.
        timeouts: how long to wait.
        clock: tells the time.
        rng: spreads the pauses.
        new_idempotency_key: makes the key of a write that was given none.
        observer: is told of each call and each attempt.
    """

    def __init__(
        self,
        sender: Sender,
        tokens: TokenSource | None,
        *,
        policy: RetryPolicy,
        timeouts: Timeouts,
        clock: Clock,
        rng: Random,
        new_idempotency_key: Callable[[], str] = make_idempotency_key,
        observer: Observer | None = None,
    ) -> None:
        self._sender = sender
        self._tokens = tokens
        self._policy = policy
        self._timeouts = timeouts
        self.clock = clock
        self._rng = rng
        self.new_idempotency_key = new_idempotency_key
        self._observer = observer
        self._now = clock.monotonic

    async def call(
        self,
        request: Request,
        read: Callable[[bytes], T],
        *,
        verify: Verify[T] | None = None,
        deadline: float | None = None,
    ) -> T:
        """Make one call, with as many attempts as its operation, the policy and the time allow.

        Args:
            request: what to send.
            read: makes the result from the body of the response; a ValueError means that the body isn't JSON.
            verify: for operations whose outcome can be read from the payment.
            deadline: on the clock's monotonic scale; the one of the timeouts if left out.

        Raises:
            LeadError: there is no result; every error of a write has its key.
        """
        start = self._now()
        state = CallState(request, start + self._timeouts.deadline if deadline is None else deadline)
        if self._observer is not None:
            path = request.path.partition("?")[0]
            state.observed = CallStarted(request.operation, request.method, path, request.key, self._sender.base_url)
            notify(self._observer, state.observed)
        result: T | None = None
        failure: BaseException | None = None
        try:
            self._sender.open()
            result = await self._run(state, read, verify)
        except BaseException as error:
            failure = error
            if isinstance(error, LeadError):
                state.sign(error)
            elif isinstance(error, asyncio.CancelledError) and request.key is not None and state.may_have_happened:
                note = f"{request.operation} was cancelled and may have happened; idempotency_key={request.key!r}"
                logger.warning("%s", note)
                error.add_note(note)
            raise
        else:
            return result
        finally:
            if self._observer is not None:
                self._notify_ended(self._observer, state, result, failure, self._now() - start)

    async def _run(self, state: CallState, read: Callable[[bytes], T], verify: Verify[T] | None) -> T:
        while True:
            response = await self._attempt(state)
            if response is not None:
                return _read(response, read)
            if verify is not None and state.needs_verification:
                verified = await self._verify(state, verify)
                if verified is not None:
                    return verified
            await self._pause(
                state, may_repeat=state.request.safety is not RetrySafety.VERIFY_FIRST or verify is not None
            )

    async def _attempt(self, state: CallState) -> Response | None:
        """Send once.

        Returns:
            A response of success; None if another attempt may follow, after ``state.error``.
        """
        token = None
        if self._tokens is not None:
            token = self._tokens.current() if state.rejected_token is None else None
            token = token or await self._get_token(state, self._tokens)
        start = self._now()
        state.attempts += 1
        state.renewing_token = False
        state.in_flight = True
        started = None
        if self._observer is not None and state.observed is not None:
            started = AttemptStarted(state.observed, state.attempts)
            notify(self._observer, started)
        response: Response | None = None
        failure: BaseException | None = None
        try:
            response = await self._sender.send(state.request, token, state.deadline - start)
        except (RequestNotSentError, NoAnswerError) as error:
            failure = state.error = error
            state.ambiguous_error = error if isinstance(error, NoAnswerError) else state.ambiguous_error
            state.in_flight = False
        except BaseException as error:
            failure = error
            raise
        else:
            state.in_flight = False
        finally:
            if started is not None or logger.isEnabledFor(logging.DEBUG):
                self._report_attempt(state, started, response, failure, self._now() - start)
        if response is None:
            return None
        disposition = classify(response.status, state.request.safety)
        if disposition is Disposition.SUCCEEDED:
            return response
        self._handle_error(state, response, disposition, token)
        return None

    def _handle_error(self, state: CallState, response: Response, disposition: Disposition, token: str | None) -> None:
        """Remember a response that is not a success, or raise it if it is final."""
        state.error = self._read_error(response)
        if disposition is Disposition.AMBIGUOUS:
            state.ambiguous_error = state.error
        elif disposition is Disposition.UNAUTHORIZED and token is not None and state.rejected_token is None:
            # Only once: the bank may give the refused token again.
            state.rejected_token, state.renewing_token = token, True
        elif disposition is not Disposition.NOT_EXECUTED and not state.needs_verification:
            # After an ambiguous attempt, the payment is read before a refusal counts.
            raise state.error if disposition is Disposition.REFUSED else state.final_error()

    async def _get_token(self, state: CallState, tokens: TokenSource) -> str:
        try:
            async with asyncio.timeout(state.deadline - self._now()):
                token = await tokens.get(state.rejected_token)
        except (LeadError, TimeoutError) as error:
            if isinstance(error, APIError) and error.status < SERVER_ERROR:
                state.error = error
            else:
                state.error = RequestNotSentError(f"no access token: {type(error).__name__}")
            raise state.final_error() from None
        if token == state.rejected_token:
            raise state.final_error()
        return token

    def _read_error(self, response: Response) -> APIError:
        try:
            problem = decode(response.body or b"")
        except ValueError:
            problem = None  # a proxy's HTML
        return APIError.of(
            response.status,
            problem if isinstance(problem, dict) else None,
            request_id=response.headers.get(REQUEST_ID),
            retry_after=retry_after(response.headers.get("Retry-After"), now=self.clock.now()),
        )

    async def _verify(self, state: CallState, verify: Verify[T]) -> T | None:
        """Read whether the write was executed; if it was not, a refusal of the last attempt stands."""
        try:
            verified = await verify(state.deadline)
        except LeadError:
            raise state.final_error() from None
        if verified is None and state.is_refused:
            raise state.error
        return verified

    async def _pause(self, state: CallState, *, may_repeat: bool) -> None:
        """Wait before the next attempt, or raise the final error.

        ``may_repeat`` is False where a repetition could be executed as a second write.
        """
        if state.renewing_token:
            return
        error = state.error
        wait = self._policy.wait(
            state.attempts,
            left=state.deadline - self._now(),
            random=self._rng.random(),
            retry_after=error.retry_after if isinstance(error, APIError) else None,
        )
        if wait is None or (state.ambiguous_error is not None and not may_repeat):
            if state.may_have_happened:
                logger.warning("%s: outcome unknown, %d attempts", state.request.operation, state.attempts)
            raise state.final_error()
        logger.info("%s: attempt %d failed, again in %.3f s", state.request.operation, state.attempts, wait)
        await self.clock.sleep(wait)

    def _report_attempt(
        self,
        state: CallState,
        started: AttemptStarted | None,
        response: Response | None,
        failure: BaseException | None,
        seconds: float,
    ) -> None:
        """Log an attempt at DEBUG, and notify the observer."""
        status = None if response is None else response.status
        request_id = None if response is None else response.headers.get(REQUEST_ID)
        logger.debug(
            "%s %s -> %s (attempt %d, %.1f ms, request id %s)",
            state.request.method,
            state.request.path.partition("?")[0],
            status or _name(failure),
            state.attempts,
            seconds * 1000,
            request_id,
        )
        if started is not None and self._observer is not None:
            notify(self._observer, AttemptEnded(started, status, _name(failure), seconds, request_id))

    @staticmethod
    def _notify_ended(
        observer: Observer, state: CallState, result: object, failure: BaseException | None, seconds: float
    ) -> None:
        if state.observed is None:
            return
        unknown = isinstance(failure, OutcomeUnknownError) or (
            isinstance(failure, asyncio.CancelledError) and state.may_have_happened
        )
        payment_id = result.id if isinstance(result, InstantPayment) else None
        notify(observer, CallEnded(state.observed, state.attempts, _name(failure), unknown, payment_id, seconds))


def _name(error: BaseException | None) -> str | None:
    return None if error is None else type(error).__name__


def _read(response: Response, read: Callable[[bytes], T]) -> T:
    try:
        if response.body is None:
            raise _malformed(f"is larger than {MAX_RESPONSE_BYTES} bytes")
        try:
            return read(response.body)
        except ValueError:
            raise _malformed("is not JSON in UTF-8") from None
    except MalformedResponseError as error:
        error.body, error.status = response.body, response.status
        raise


def _malformed(reason: str) -> MalformedResponseError:
    return MalformedResponseError([Problem("$", reason)])

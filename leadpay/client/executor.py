"""One call with all its attempts: which response is followed by another attempt, and what is raised in the end."""

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from functools import partial
from random import Random
from typing import Any, Final, NoReturn, Protocol, TypeVar

from leadpay.client.auth import TokenSource
from leadpay.client.capacity import Capacity
from leadpay.client.outcome import (
    BODY_START_BYTES,
    MAX_CONFLICTS,
    SUCCESS,
    CallState,
    Disposition,
    classify,
    is_bank_problem,
    is_key_reused,
    loggable,
    mismatches,
)
from leadpay.client.requests import Request, RetrySafety
from leadpay.client.retry import OneAttempt, RetryPolicy, retry_after
from leadpay.client.transport import MAX_RESPONSE_BYTES, Response
from leadpay.clock import Clock
from leadpay.config import Timeouts
from leadpay.converter import decode
from leadpay.drift import Radar, notes
from leadpay.errors import (
    APIError,
    AuthenticationError,
    KeyReusedError,
    LeadError,
    MalformedResponseError,
    MismatchedResponseError,
    NoAnswerError,
    OutcomeUnknownError,
    Problem,
    RateLimitError,
    RequestNotSentError,
)
from leadpay.instrumentation import AttemptEnded, AttemptStarted, CallEnded, CallStarted, Observer, notify
from leadpay.models import InstantPayment

logger = logging.getLogger("leadpay.client")

T = TypeVar("T")

REQUEST_ID: Final = "X-Request-Id"
"""The header with the bank's own number for a request; which one the bank uses is not published."""

_UNAUTHORIZED: Final = 401
_CONFLICT: Final = 409
_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)

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
        capacity: when an attempt may begin; its own if left out.
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
        capacity: Capacity | None = None,
        new_idempotency_key: Callable[[], str] = make_idempotency_key,
        observer: Observer | None = None,
    ) -> None:
        self._sender = sender
        self._tokens = tokens
        self._policy = policy
        self._timeouts = timeouts
        self.clock = clock
        self._rng = rng
        self._capacity = capacity or Capacity(clock, rng)
        self.new_idempotency_key = new_idempotency_key
        self._observer = observer
        self._radar = Radar(observer)
        self._now = clock.monotonic

    def single_attempt(self) -> "RequestExecutor":
        """Give an executor beside this one, with the same connections, whose calls make one attempt each."""
        single = copy(self)
        single._policy = OneAttempt()  # noqa: SLF001 - one of its own class
        return single

    async def call(
        self,
        request: Request,
        read: Callable[[Any], T],
        *,
        verify: Verify[T] | None = None,
        deadline: float | None = None,
        resuming: bool = False,
    ) -> T:
        """Make one call, with as many attempts as its operation, the policy and the time allow.

        Args:
            request: what to send.
            read: makes the result from the JSON data of the response, or from None if its body is empty.
            verify: for operations whose outcome can be read from the payment.
            deadline: on the clock's monotonic scale; the one of the timeouts if left out.
            resuming: whether an earlier call with this key has an unknown outcome.

        Raises:
            LeadError: there is no result; every error of a write has its key.
        """
        start = self._now()
        state = CallState(request, start + self._timeouts.deadline if deadline is None else deadline, resuming)
        if resuming:
            state.error = NoAnswerError("an earlier call got no response")
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
            else:
                _mark_interrupted(state, error)
            raise
        else:
            return result
        finally:
            if self._observer is not None and state.observed is not None:
                unknown = isinstance(failure, OutcomeUnknownError | MismatchedResponseError) or (
                    failure is not None and not isinstance(failure, LeadError) and state.may_have_happened
                )
                payment_id = result.id if isinstance(result, InstantPayment) else None
                seconds = self._now() - start
                ended = CallEnded(state.observed, state.attempts, _name(failure), unknown, payment_id, seconds)
                notify(self._observer, ended)

    async def _run(self, state: CallState, read: Callable[[Any], T], verify: Verify[T] | None) -> T:
        request = state.request
        may_repeat = request.safety is not RetrySafety.VERIFY_FIRST or verify is not None
        while True:
            if verify is not None and state.needs_verification:
                verified = await self._verify(state, verify)
                if verified is not None:
                    return verified
            if state.attempts:
                await self._pause(state, may_repeat=may_repeat)
            try:
                await self._capacity.acquire(state.deadline)
            except RequestNotSentError as error:
                state.error = error
                _raise(state.final_error())
            try:
                response = await self._send(state)
            finally:
                self._capacity.release()
            if response is None:
                continue
            if response.status not in SUCCESS:
                self._handle_error(state, response)
                continue
            try:
                try:
                    return _read(response, read, request)
                finally:
                    if notes.sightings:
                        self._radar.look(request.operation, self.clock)
            except MismatchedResponseError as error:
                # The connection has the responses to other requests, or this is one; ours may have been executed.
                response.close()
                state.note_unsuccessful(error, Disposition.FOREIGN)

    async def _send(self, state: CallState) -> Response | None:
        """Send once.

        Returns:
            The response; None if there was none, and another attempt may follow, after ``state.error``.
        """
        token = None
        if self._tokens is not None:
            token = self._tokens.current() if state.rejected_token is None else None
            token = token or await self._get_token(state, self._tokens)
        start = self._now()
        state.attempts += 1
        state.renewing_token = False
        state.in_flight = True
        state.token = token
        if state.first_sent_at is None:
            state.first_sent_at = self.clock.now()
        started = None
        if self._observer is not None and state.observed is not None:
            started = AttemptStarted(state.observed, state.attempts)
            notify(self._observer, started)
        response: Response | None = None
        failure: BaseException | None = None
        try:
            request = state.request._replace(wants_new_connection=state.wants_new_connection)
            response = await self._sender.send(request, token, state.deadline - start)
        except (RequestNotSentError, NoAnswerError) as error:
            failure = error
            is_sent = isinstance(error, NoAnswerError)
            state.note_unsuccessful(error, Disposition.AMBIGUOUS if is_sent else Disposition.NOT_EXECUTED)
            if isinstance(error, RequestNotSentError) and error.is_permanent:
                _raise(state.final_error())
            return None
        except BaseException as error:
            failure = error
            raise
        else:
            state.in_flight = False
            return response
        finally:
            if started is not None or logger.isEnabledFor(logging.DEBUG):
                self._report_attempt(state, started, response, failure, self._now() - start)

    def _handle_error(self, state: CallState, response: Response) -> None:
        """Remember a response that is not a success, or raise it if it is final."""
        problem = _read_problem(response.body)
        code = None if problem is None else problem.get("code")
        disposition = classify(response.status, state.request.safety, by_bank=problem is not None, code=code)
        pause = retry_after(
            response.headers.get("Retry-After"), date=response.headers.get("Date"), now=self.clock.now()
        )
        if pause is not None:
            self._capacity.pause(pause)
        state.note_unsuccessful(_error(state, response, problem, disposition, pause), disposition)
        if state.must_confirm(disposition, is_on_kept_connection=response.is_on_kept_connection):
            response.close()
            return
        is_first_token = state.token is not None and state.rejected_token is None
        if disposition is Disposition.FOREIGN:
            response.close()
        if response.status == _UNAUTHORIZED and is_first_token:
            # Only once: the bank may give the refused token again.
            state.rejected_token, state.renewing_token = state.token, disposition is Disposition.UNAUTHORIZED
        elif disposition is Disposition.CONFLICT and state.conflicts < MAX_CONFLICTS and not state.is_ambiguous:
            return
        elif disposition in {Disposition.REFUSED, Disposition.CONFLICT}:
            if not state.needs_verification:
                raise state.error
        elif disposition in {Disposition.NOT_ADMITTED, Disposition.UNAUTHORIZED} and not state.needs_verification:
            raise state.final_error()

    async def _get_token(self, state: CallState, tokens: TokenSource) -> str:
        try:
            async with asyncio.timeout(state.deadline - self._now()):
                token = await tokens.get(state.rejected_token)
        except TimeoutError:
            state.error = RequestNotSentError("no access token before the deadline")
            _raise(state.final_error())
        except LeadError as error:
            state.error = error
            _raise(state.final_error())
        if token == state.rejected_token and isinstance(state.error, AuthenticationError):
            raise state.final_error()
        return token

    async def _verify(self, state: CallState, verify: Verify[T]) -> T | None:
        """Read whether the write was executed; if it was not, a refusal of the last attempt stands."""
        try:
            verified = await verify(state.deadline)
        except LeadError as error:
            if not state.attempts:
                state.error = error
            _raise(state.final_error())
        if verified is None and isinstance(state.error, APIError):
            safety, code = state.request.safety, state.error.code
            disposition = classify(state.error.status, safety, code=code)
            if disposition is Disposition.REFUSED and state.error.status != _CONFLICT:
                raise state.error
            if disposition in {Disposition.NOT_ADMITTED, Disposition.UNAUTHORIZED}:
                raise state.final_error()
        return verified

    async def _pause(self, state: CallState, *, may_repeat: bool) -> None:
        """Wait before the next attempt, or raise the final error.

        ``may_repeat`` is False where a repetition could be executed as a second write.
        """
        if state.renewing_token or state.is_confirming:
            return
        error = state.error
        is_executed = not isinstance(error, RequestNotSentError | RateLimitError)
        wait = self._policy.wait(
            state.attempts,
            left=state.deadline - self._now(),
            random=self._rng.random(),
            retry_after=getattr(error, "retry_after", None),
            executed=state.executed_attempts if is_executed else None,
        )
        if wait is None or (state.is_ambiguous and not may_repeat):
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


def _raise(error: LeadError) -> NoReturn:
    """Raise an error with its own cause, and not with the exception that is being handled as its context."""
    raise error from error.__cause__


def _mark_interrupted(state: CallState, error: BaseException) -> None:
    """Leave the key of a write behind where nothing of ours is raised: a cancellation, Ctrl-C, a closed event loop."""
    if state.request.key is None or not state.may_have_happened:
        return
    note = f"{state.request.operation} was interrupted and may have happened; idempotency_key={state.request.key!r}"
    logger.warning("%s", note)
    vars(error)["idempotency_key"] = state.request.key
    error.add_note(note)


def _name(error: BaseException | None) -> str | None:
    return None if error is None else type(error).__name__


def _read_problem(body: bytes | None) -> Mapping[str, Any] | None:
    """Read the bank's problem JSON; None if the body is anything else."""
    try:
        problem = decode(body or b"")
    except ValueError:
        return None
    return problem if is_bank_problem(problem) else None


def _error(
    state: CallState,
    response: Response,
    problem: Mapping[str, Any] | None,
    disposition: Disposition,
    pause: float | None,
) -> LeadError:
    """Make the error of a response that is not a success."""
    request_id = response.headers.get(REQUEST_ID)
    if disposition is Disposition.FOREIGN:
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        body = (response.body or b"")[:BODY_START_BYTES]
        logger.debug("HTTP %d is not the bank's: %s", response.status, loggable(body))
        return NoAnswerError(
            f"no response from the bank: HTTP {response.status} without its problem JSON",
            status=response.status,
            content_type=media_type if _MEDIA_TYPE.fullmatch(media_type) else None,
            request_id=request_id,
            retry_after=pause,
            body_start=body,
        )
    code = None if problem is None else problem.get("code")
    if is_key_reused(response.status, state.request.safety, code):
        return KeyReusedError(response.status, problem, request_id=request_id, retry_after=pause)
    return APIError.of(response.status, problem, request_id=request_id, retry_after=pause)


def _read(response: Response, read: Callable[[Any], T], request: Request) -> T:
    """Read the body of a success, and check that it fits the request."""
    try:
        if response.body is None:
            raise _malformed(f"is larger than {MAX_RESPONSE_BYTES} bytes")
        try:
            data = decode(response.body) if response.body else None
        except ValueError:
            raise _malformed("is not JSON in UTF-8") from None
        result = read(data)
        problems = mismatches(result, request.expected)
        if problems:
            raise MismatchedResponseError(problems)
    except MalformedResponseError as error:
        error.body, error.status = response.body, response.status
        raise
    return result


def _malformed(reason: str) -> MalformedResponseError:
    return MalformedResponseError([Problem("$", reason)])

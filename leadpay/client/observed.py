"""A caller that tells an observer of each call and each attempt."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from leadpay.client.executor import REQUEST_ID, RequestExecutor, Settle
from leadpay.client.outcome import Attempts
from leadpay.client.transport import Response
from leadpay.errors import OutcomeUnknownError
from leadpay.instrumentation import AttemptEnded, AttemptStarted, CallEnded, CallStarted, Observer, notify
from leadpay.models import InstantPayment

T = TypeVar("T")


class ObservedRequestExecutor(RequestExecutor):
    """Makes calls, and tells of them."""

    def __init__(self, *wiring: Any, observer: Observer, base_url: str) -> None:
        super().__init__(*wiring)
        self._base_url = base_url
        self._observer = observer

    async def _make(self, attempts: Attempts, read: Callable[[bytes], T], settle: Settle[T] | None) -> T:
        request = attempts.request
        path = request.path.partition("?")[0]
        started = CallStarted(request.operation, request.method, path, request.key, self._base_url)
        attempts.fact = started
        notify(self._observer, started)
        start = self._now()
        result: T | None = None
        ended: BaseException | None = None
        try:
            result = await super()._make(attempts, read, settle)
        except BaseException as error:
            ended = error
            raise
        else:
            return result
        finally:
            unknown = isinstance(ended, OutcomeUnknownError) or (
                isinstance(ended, asyncio.CancelledError) and attempts.may_have_happened
            )
            payment_id = result.id if isinstance(result, InstantPayment) else None
            took = self._now() - start
            notify(self._observer, CallEnded(started, attempts.count, _name(ended), unknown, payment_id, took))

    async def _go(self, attempts: Attempts, token: str | None, left: float) -> Response:
        assert attempts.fact is not None  # noqa: S101 - for the type checker; _make has told it
        started = AttemptStarted(attempts.fact, attempts.count)
        notify(self._observer, started)
        start = self._now()
        response: Response | None = None
        ended: BaseException | None = None
        try:
            response = await super()._go(attempts, token, left)
        except BaseException as error:
            ended = error
            raise
        else:
            return response
        finally:
            status = None if response is None else response.status
            request_id = None if response is None else response.headers.get(REQUEST_ID)
            took = self._now() - start
            notify(self._observer, AttemptEnded(started, status, _name(ended), took, request_id))


def _name(error: BaseException | None) -> str | None:
    return None if error is None else type(error).__name__

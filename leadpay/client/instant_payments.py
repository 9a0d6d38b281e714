"""The eight calls about instant payments."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from math import inf
from operator import attrgetter
from typing import Any, Final, Literal

from leadpay.client import queries, requests
from leadpay.client.executor import RequestExecutor
from leadpay.client.pagination import AsyncPager, PageData, read_page
from leadpay.client.requests import ReasonedOperation, Request
from leadpay.client.waiting import WaitUntil, check_until, has_reached, pause
from leadpay.converter import structure
from leadpay.enums import (
    CounterpartyStatus,
    CounterpartyStatusLiteral,
    Direction,
    DirectionLiteral,
    ResolvedBy,
    ReturnReason,
    ReturnReasonLiteral,
    ReturnRequestReason,
    ReturnRequestReasonLiteral,
    ReturnRequestRejectionReason,
    ReturnRequestRejectionReasonLiteral,
    ReturnRequestStatus,
    ReturnRequestStatusLiteral,
    Status,
    StatusLiteral,
)
from leadpay.models import Agent, Availability, InstantPayment, Party

_PATH: Final = "/v1/instant_payments"

_read_payment: Final[Callable[[Any], InstantPayment]] = partial(structure, cls=InstantPayment)


class InstantPayments:
    """``lead.instant_payments``.

    Every write takes an ``idempotency_key``, made once per call if left out, and every error of a write has it.
    All calls raise InvalidRequestError before anything is sent, APIError if the bank refuses, RequestNotSentError
    if nothing was executed, OutcomeUnknownError if it is unknown whether the write was executed, and
    MalformedResponseError if it was and the response cannot be read.
    """

    def __init__(self, executor: RequestExecutor) -> None:
        self._executor = executor

    def single_attempt(self) -> "InstantPayments":
        """Give the same calls, each with one attempt: for a queue that repeats them by itself, such as the outbox."""
        return InstantPayments(self._executor.single_attempt())

    async def check_availability(self, routing_number: str) -> Availability:
        """Ask whether a financial institution can receive instant payments.

        Args:
            routing_number: nine digits.
        """
        return await self._executor.call(
            requests.check_availability(routing_number), partial(structure, cls=Availability)
        )

    async def send(
        self,
        *,
        account_number_id: str,
        amount: int,
        creditor: Party,
        creditor_agent: Agent,
        description: str | None = None,
        currency_code: str = "USD",
        idempotency_key: str | None = None,
        resuming: bool = False,
    ) -> InstantPayment:
        """Send a payment. It cannot be taken back.

        Args:
            account_number_id: the account number to send from.
            amount: cents, an int; see ``leadpay.cents``.
            creditor: the receiver.
            creditor_agent: the creditor's bank.
            description: the purpose, at most 140 characters.
            currency_code: USD is the only one.
            idempotency_key: one that you have stored, so that this payment can be resumed after a crash.
            resuming: whether an earlier call with this key ended in an unknown outcome, or in a crash. Then a call that
                gets no connection, a 401 or a 429 does not say that the payment was not executed.

        Returns:
            The payment as created. It has not posted yet, and a posted payment has not arrived yet: webhooks follow.
        """
        if resuming and idempotency_key is None:
            raise requests.resuming_without_key("send")
        request = requests.send(
            account_number_id=account_number_id,
            amount=amount,
            creditor=creditor,
            creditor_agent=creditor_agent,
            description=description,
            currency_code=currency_code,
            key=self._executor.new_idempotency_key() if idempotency_key is None else idempotency_key,
        )
        return await self._executor.call(request, _read_payment, resuming=resuming)

    async def retrieve(self, payment_id: str) -> InstantPayment:
        """Read a payment as it is now."""
        return await self._executor.call(requests.retrieve(payment_id), _read_payment)

    async def wait(
        self,
        payment_id: str,
        *,
        until: WaitUntil = "arrived",
        timeout: float | None = None,  # noqa: ASYNC109 - the public name of the argument
    ) -> InstantPayment:
        """Read a payment with growing pauses until it has come so far, or can't any more; look at its statuses then.

        An outbox waits by notification: ``outbox.wait(reference)``.

        Args:
            payment_id: the payment's ID.
            until: ``posted``: funds have moved on our account. ``arrived``: the counterparty has them, or they won't
                arrive. ``final``: what did not arrive has a payment that returns it.
            timeout: seconds by the client's clock; None to wait for ever.

        Raises:
            TimeoutError: it has not come so far in time.
        """
        check_until(until)
        clock = self._executor.clock
        end = inf if timeout is None else clock.monotonic() + timeout
        looks = 0
        while not has_reached(payment := await self.retrieve(payment_id), until):
            looks += 1
            left = end - clock.monotonic()
            if left <= 0:
                raise TimeoutError(f"{payment_id} is {payment.status} after {timeout} seconds")
            await clock.sleep(min(pause(looks), left))
        return payment

    def list(
        self,
        *,
        account_id: str | None = None,
        account_number_id: str | None = None,
        direction: Direction | DirectionLiteral | None = None,
        status: Status | StatusLiteral | None = None,
        counterparty_status: CounterpartyStatus | CounterpartyStatusLiteral | Literal["any"] | None = queries.ANY,
        return_request_status: ReturnRequestStatus | ReturnRequestStatusLiteral | None = None,
        created_after: datetime | None = None,
        created_on_or_after: datetime | None = None,
        created_before: datetime | None = None,
        created_on_or_before: datetime | None = None,
        limit: int | None = None,
        starting_after: str | None = None,
        ending_before: str | None = None,
        unlisted: bool = False,
    ) -> AsyncPager[InstantPayment]:
        """List payments: ``await`` it for one page, or use ``async for`` to get all of them.

        Args:
            account_id: only payments of this account.
            account_number_id: only payments of this account number.
            direction: ``outgoing`` or ``incoming``.
            status: our side.
            counterparty_status: the other side; None for payments that have none, ``any`` for no filter.
            return_request_status: only payments with a return request in this status.
            created_after: an aware time of creation, like the next three.
            created_on_or_after: see above.
            created_before: see above.
            created_on_or_before: see above.
            limit: objects on a page, 1 to 100; the bank's default is 10.
            starting_after: a payment's ID; the list continues after it.
            ending_before: a payment's ID; the list goes back from it to newer payments, the oldest first.
            unlisted: whether to ask for values of enums that this version does not know; they are logged.
        """
        query = queries.payments(
            account_id=account_id,
            account_number_id=account_number_id,
            direction=direction,
            status=status,
            counterparty_status=counterparty_status,
            return_request_status=return_request_status,
            created_after=created_after,
            created_on_or_after=created_on_or_after,
            created_before=created_before,
            created_on_or_before=created_on_or_before,
            limit=limit,
            starting_after=starting_after,
            ending_before=ending_before,
            unlisted=unlisted,
        )
        return AsyncPager(query, self._get_page)

    async def cancel(
        self, payment_id: str, *, idempotency_key: str | None = None, resuming: bool = False
    ) -> InstantPayment:
        """Cancel a payment that has not been submitted yet: from ``created`` or ``under_review`` only.

        The bank's description has no key here. So if no response arrived, the payment is read, and its status decides.

        Returns:
            The canceled payment.
        """
        if resuming and idempotency_key is None:
            raise requests.resuming_without_key("cancel")
        key = self._executor.new_idempotency_key() if idempotency_key is None else idempotency_key
        request = requests.cancel(payment_id, key)
        return await self._call_and_verify(request, lambda payment: payment.status == Status.CANCELED, resuming)

    async def return_payment(
        self,
        payment_id: str,
        *,
        reason: ReturnReason | ReturnReasonLiteral,
        additional_information: str | None = None,
        idempotency_key: str | None = None,
        resuming: bool = False,
        unlisted: bool = False,
    ) -> InstantPayment:
        """Return a payment that was received. This accepts an active return request.

        Args:
            payment_id: the incoming payment.
            reason: one of ``leadpay.client.requests.RETURN_REASONS``.
            additional_information: at most 140 characters; required with ``narrative`` and ``wrong_amount``.
            idempotency_key: see ``send``.
            resuming: see ``send``.
            unlisted: whether to send a reason that this version does not know; it is logged.

        Returns:
            The NEW outgoing payment.
        """
        request = self._reasoned_request(
            requests.RETURN,
            payment_id,
            reason,
            additional_information,
            idempotency_key,
            resuming=resuming,
            unlisted=unlisted,
        )
        return await self._executor.call(request, _read_payment, resuming=resuming)

    async def request_return(
        self,
        payment_id: str,
        *,
        reason: ReturnRequestReason | ReturnRequestReasonLiteral,
        additional_information: str | None = None,
        idempotency_key: str | None = None,
        resuming: bool = False,
        unlisted: bool = False,
    ) -> InstantPayment:
        """Ask the counterparty to return a posted outgoing payment.

        Args:
            payment_id: the outgoing payment.
            reason: one of ``leadpay.client.requests.RETURN_REQUEST_REASONS``.
            additional_information: at most 140 characters; required with ``narrative``, ``wrong_amount`` and
                ``service_not_rendered``.
            idempotency_key: see ``send``.
            resuming: see ``send``.
            unlisted: whether to send a reason that this version does not know; it is logged.

        Returns:
            The same payment, with a new entry in ``return_requests``.

        Raises:
            ConflictError: a return request is already active. If an earlier attempt got no response, an active request
                with the same reason is taken to be the one we sent.
        """
        request = self._reasoned_request(
            requests.REQUEST_RETURN,
            payment_id,
            reason,
            additional_information,
            idempotency_key,
            resuming=resuming,
            unlisted=unlisted,
        )

        def is_ours(payment: InstantPayment) -> bool:
            active = payment.active_return_request
            return active is not None and active.reason == ReturnRequestReason(reason)

        return await self._call_and_verify(request, is_ours, resuming)

    async def reject_return_request(
        self,
        payment_id: str,
        *,
        reason: ReturnRequestRejectionReason | ReturnRequestRejectionReasonLiteral,
        additional_information: str | None = None,
        idempotency_key: str | None = None,
        resuming: bool = False,
        unlisted: bool = False,
    ) -> InstantPayment:
        """Reject the return request that waits for our decision.

        The bank's description has no key here. So if no response arrived, the payment is read, and its status decides.

        Args:
            payment_id: the incoming payment.
            reason: one of ``leadpay.client.requests.REJECTION_REASONS``.
            additional_information: at most 140 characters; required with ``narrative``.
            idempotency_key: is sent all the same, in case the bank looks at it.
            resuming: see ``send``.
            unlisted: whether to send a reason that this version does not know; it is logged.

        Returns:
            The same payment.
        """
        request = self._reasoned_request(
            requests.REJECT_RETURN_REQUEST,
            payment_id,
            reason,
            additional_information,
            idempotency_key,
            resuming=resuming,
            unlisted=unlisted,
        )

        def is_rejected(payment: InstantPayment) -> bool:
            # One return request is active at a time. So ours was about the latest one, and no clock is needed to tell.
            latest = max(payment.return_requests, key=attrgetter("created_at"), default=None)
            if payment.active_return_request is not None or latest is None or latest.resolution is None:
                return False
            given = latest.resolution.rejection_reason
            is_ours = given is None or given == ReturnRequestRejectionReason(reason)
            return (
                is_ours
                and latest.resolution.resolved_by == ResolvedBy.CLIENT
                and latest.status == ReturnRequestStatus.REJECTED
            )

        return await self._call_and_verify(request, is_rejected, resuming)

    def _reasoned_request(
        self,
        operation: ReasonedOperation,
        payment_id: str,
        reason: str,
        additional_information: str | None,
        idempotency_key: str | None,
        *,
        resuming: bool,
        unlisted: bool,
    ) -> Request:
        if resuming and idempotency_key is None:
            raise requests.resuming_without_key(operation.name)
        key = self._executor.new_idempotency_key() if idempotency_key is None else idempotency_key
        return requests.reasoned_request(operation, payment_id, reason, additional_information, key, unlisted=unlisted)

    async def _call_and_verify(
        self, request: Request, has_happened: Callable[[InstantPayment], bool], resuming: bool
    ) -> InstantPayment:
        """Call; if the responses leave the outcome unknown, read the payment and look."""
        retrieve = requests.retrieve(request.payment_id or "")

        async def verify(deadline: float) -> InstantPayment | None:
            payment = await self._executor.call(retrieve, _read_payment, deadline=deadline)
            return payment if has_happened(payment) else None

        return await self._executor.call(request, _read_payment, verify=verify, resuming=resuming)

    async def _get_page(self, query: Mapping[str, Any]) -> PageData[InstantPayment]:
        read_body = partial(read_page, read=_read_payment)
        return await self._executor.call(queries.request(_PATH, query), read_body)

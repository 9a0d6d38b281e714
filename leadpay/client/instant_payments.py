"""The eight calls about instant payments."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from leadpay.client import queries, requests
from leadpay.client.executor import Open, RequestExecutor
from leadpay.client.pagination import AsyncPager, read_page
from leadpay.client.requests import Request
from leadpay.converter import read, structure
from leadpay.enums import CounterpartyStatus, Direction, ResolvedBy, ReturnRequestStatus, Status
from leadpay.models import Agent, Availability, InstantPayment, Party

CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far the bank's clock may be from ours when we ask whether something has happened since we sent it."""

_PATH: Final = "/v1/instant_payments"


class InstantPayments:
    """``lead.instant_payments``.

    Every write takes an ``idempotency_key``, made once per call if left out, and every error of a write carries it.
    All calls raise InvalidRequestError before anything is sent, APIError where the bank refuses, RequestNotSentError
    where surely nothing happened, OutcomeUnknownError where nobody knows, and MalformedResponseError for a yes that
    cannot be read.
    """

    def __init__(self, caller: Open) -> None:
        self._caller = caller

    async def check_availability(self, routing_number: str) -> Availability:
        """Ask whether a financial institution can receive instant payments.

        Args:
            routing_number: nine digits.
        """
        request = requests.check_availability(routing_number)
        return await self._caller().call(request, lambda body: read(body, Availability))

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
    ) -> InstantPayment:
        """Send a payment. It cannot be taken back.

        Args:
            account_number_id: the account number to send from.
            amount: cents, an int; see ``leadpay.cents``.
            creditor: whom to pay.
            creditor_agent: the creditor's bank.
            description: what for, at most 140 characters.
            currency_code: USD is the only one.
            idempotency_key: one that you have stored, so that this payment can be resumed after a crash.

        Returns:
            The payment as created. It has not posted yet, and a posted payment has not arrived yet: webhooks tell.
        """
        caller = self._caller(idempotency_key)
        request = requests.send(
            account_number_id=account_number_id,
            amount=amount,
            creditor=creditor,
            creditor_agent=creditor_agent,
            description=description,
            currency_code=currency_code,
            key=caller.new_idempotency_key() if idempotency_key is None else idempotency_key,
        )
        return await caller.call(request, _payment)

    async def retrieve(self, payment_id: str) -> InstantPayment:
        """Read a payment as it is now."""
        return await self._caller().call(requests.retrieve(payment_id), _payment)

    def list(
        self,
        *,
        account_id: str | None = None,
        account_number_id: str | None = None,
        direction: Direction | str | None = None,
        status: Status | str | None = None,
        counterparty_status: CounterpartyStatus | str | None = None,
        return_request_status: ReturnRequestStatus | str | None = None,
        created_after: datetime | None = None,
        created_on_or_after: datetime | None = None,
        created_before: datetime | None = None,
        created_on_or_before: datetime | None = None,
        limit: int | None = None,
        starting_after: str | None = None,
        ending_before: str | None = None,
    ) -> AsyncPager[InstantPayment]:
        """List payments: ``await`` it for one page, or ``async for`` over everything.

        Args:
            account_id: only this account's.
            account_number_id: only this account number's.
            direction: ``outgoing`` or ``incoming``.
            status: our side.
            counterparty_status: their side.
            return_request_status: only payments with a return request in this status.
            created_after: aware times of creation; likewise the next three.
            created_on_or_after: see above.
            created_before: see above.
            created_on_or_before: see above.
            limit: objects on a page, 1 to 100; the bank's default is 10.
            starting_after: a payment's ID; the list goes on behind it.
            ending_before: a payment's ID; the list is walked backwards from it.
        """
        filters = {name: value for name, value in locals().items() if name != "self"}
        return AsyncPager(queries.payments(filters), self._page)

    async def cancel(self, payment_id: str, *, idempotency_key: str | None = None) -> InstantPayment:
        """Cancel a payment that has not been submitted yet: from ``created`` or ``under_review`` only.

        The bank's description has no key here, so after silence the payment is read, and what it says decides.

        Returns:
            The canceled payment.
        """
        caller = self._caller(idempotency_key)
        request = requests.cancel(
            payment_id, caller.new_idempotency_key() if idempotency_key is None else idempotency_key
        )
        return await self._settled(caller, request, payment_id, lambda payment: payment.status == Status.CANCELED)

    async def return_payment(
        self,
        payment_id: str,
        *,
        reason: str,
        additional_information: str | None = None,
        idempotency_key: str | None = None,
    ) -> InstantPayment:
        """Return a payment that was received. An active return request is accepted by this.

        Args:
            payment_id: the incoming payment.
            reason: one of ``leadpay.client.requests.RETURN_REASONS``.
            additional_information: at most 140 characters; required with ``narrative`` and ``wrong_amount``.
            idempotency_key: see ``send``.

        Returns:
            The NEW outgoing payment.
        """
        caller = self._caller(idempotency_key)
        key = caller.new_idempotency_key() if idempotency_key is None else idempotency_key
        request = requests.reasoned_request(requests.RETURN, payment_id, reason, additional_information, key)
        return await caller.call(request, _payment)

    async def request_return(
        self,
        payment_id: str,
        *,
        reason: str,
        additional_information: str | None = None,
        idempotency_key: str | None = None,
    ) -> InstantPayment:
        """Ask the counterparty to give a posted outgoing payment back.

        Args:
            payment_id: the outgoing payment.
            reason: one of ``leadpay.client.requests.RETURN_REQUEST_REASONS``.
            additional_information: at most 140 characters; required with ``narrative``, ``wrong_amount`` and
                ``service_not_rendered``.
            idempotency_key: see ``send``.

        Returns:
            The same payment, with a new entry in ``return_requests``.

        Raises:
            ConflictError: a request is active already. After silence, an active one with our reason counts as ours.
        """
        caller = self._caller(idempotency_key)
        key = caller.new_idempotency_key() if idempotency_key is None else idempotency_key
        request = requests.reasoned_request(requests.REQUEST_RETURN, payment_id, reason, additional_information, key)

        def is_ours(payment: InstantPayment) -> bool:
            active = payment.active_return_request
            return active is not None and active.reason == reason

        return await self._settled(caller, request, payment_id, is_ours)

    async def reject_return_request(
        self,
        payment_id: str,
        *,
        reason: str,
        additional_information: str | None = None,
        idempotency_key: str | None = None,
    ) -> InstantPayment:
        """Turn down the return request that waits for our answer.

        The bank's description has no key here, so after silence the payment is read, and what it says decides.

        Args:
            payment_id: the incoming payment.
            reason: one of ``leadpay.client.requests.REJECTION_REASONS``.
            additional_information: at most 140 characters; required with ``narrative``.
            idempotency_key: goes along, for the day when the bank looks at it.

        Returns:
            The same payment.
        """
        caller = self._caller(idempotency_key)
        key = caller.new_idempotency_key() if idempotency_key is None else idempotency_key
        request = requests.reasoned_request(
            requests.REJECT_RETURN_REQUEST, payment_id, reason, additional_information, key
        )
        # Somebody's earlier rejection is told from ours by its time.
        since = datetime.fromtimestamp(caller.clock.now(), UTC) - CLOCK_SKEW

        def is_rejected(payment: InstantPayment) -> bool:
            return payment.active_return_request is None and any(
                one.status == ReturnRequestStatus.REJECTED
                and one.resolution is not None
                and one.resolution.resolved_by == ResolvedBy.CLIENT
                and one.resolution.resolved_at >= since
                for one in payment.return_requests
            )

        return await self._settled(caller, request, payment_id, is_rejected)

    async def _settled(
        self, caller: RequestExecutor, request: Request, payment_id: str, has_happened: Callable[[InstantPayment], bool]
    ) -> InstantPayment:
        """Call; where the bank's answers leave it open, read the payment and look."""

        async def settle(deadline: float) -> InstantPayment | None:
            payment = await caller.call(requests.retrieve(payment_id), _payment, deadline=deadline)
            return payment if has_happened(payment) else None

        return await caller.call(request, _payment, settle=settle)

    async def _page(self, query: Mapping[str, Any]) -> tuple[tuple[InstantPayment, ...], bool]:
        return await self._caller().call(queries.request(_PATH, query), lambda body: read_page(body, _listed))


def _payment(body: bytes) -> InstantPayment:
    return read(body, InstantPayment)


def _listed(data: Any) -> InstantPayment:
    return structure(data, InstantPayment)

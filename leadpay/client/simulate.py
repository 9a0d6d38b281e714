"""The five simulations. They return at once and take effect later, as webhooks; in sandbox environments only."""

from typing import Any

from leadpay.client import requests
from leadpay.client.executor import RequestExecutor
from leadpay.client.requests import CounterpartyRejectionReasonLiteral, Request, Simulation
from leadpay.enums import (
    ReturnReason,
    ReturnReasonLiteral,
    ReturnRequestReason,
    ReturnRequestReasonLiteral,
    ReturnRequestRejectionReason,
)
from leadpay.errors import ConfigurationError
from leadpay.models import Agent, Party


class Simulate:
    """``lead.simulate``: makes the bank's sandbox do what a counterparty would do.

    Raises ConfigurationError on production, before anything is sent.
    """

    def __init__(self, executor: RequestExecutor, *, allowed: bool = True) -> None:
        self._executor = executor
        self._allowed = allowed

    async def incoming(
        self,
        *,
        account_number_id: str,
        amount: int,
        debtor: Party,
        debtor_agent: Agent,
        description: str | None = None,
        end_to_end_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Simulate an incoming payment of ``amount`` cents."""
        request = requests.simulate_incoming(
            account_number_id=account_number_id,
            amount=amount,
            debtor=debtor,
            debtor_agent=debtor_agent,
            description=description,
            end_to_end_id=end_to_end_id,
            key=self._executor.new_idempotency_key() if idempotency_key is None else idempotency_key,
        )
        await self._call(request)

    async def incoming_return(
        self,
        payment_id: str,
        *,
        amount: int,
        reason: ReturnReason | ReturnReasonLiteral,
        additional_information: str | None = None,
        idempotency_key: str | None = None,
        unlisted: bool = False,
    ) -> None:
        """Simulate that the counterparty returns ``amount`` cents of an outgoing payment."""
        await self._simulate(
            requests.INCOMING_RETURN,
            payment_id,
            idempotency_key,
            amount=amount,
            reason=reason,
            additional_information=additional_information,
            unlisted=unlisted,
        )

    async def incoming_return_request(
        self,
        payment_id: str,
        *,
        reason: ReturnRequestReason | ReturnRequestReasonLiteral,
        additional_information: str | None = None,
        idempotency_key: str | None = None,
        unlisted: bool = False,
    ) -> None:
        """Simulate that the counterparty requests the return of an incoming payment."""
        await self._simulate(
            requests.INCOMING_RETURN_REQUEST,
            payment_id,
            idempotency_key,
            reason=reason,
            additional_information=additional_information,
            unlisted=unlisted,
        )

    async def incoming_return_request_rejection(
        self,
        payment_id: str,
        *,
        reason: ReturnRequestRejectionReason | CounterpartyRejectionReasonLiteral,
        additional_information: str | None = None,
        idempotency_key: str | None = None,
        unlisted: bool = False,
    ) -> None:
        """Simulate that the counterparty rejects our return request."""
        await self._simulate(
            requests.INCOMING_REJECTION,
            payment_id,
            idempotency_key,
            reason=reason,
            additional_information=additional_information,
            unlisted=unlisted,
        )

    async def incoming_return_request_acceptance(self, payment_id: str, *, idempotency_key: str | None = None) -> None:
        """Simulate that the counterparty accepts our return request."""
        await self._simulate(requests.INCOMING_ACCEPTANCE, payment_id, idempotency_key)

    async def _simulate(
        self,
        simulation: Simulation,
        payment_id: str,
        idempotency_key: str | None,
        **fields: Any,
    ) -> None:
        request = requests.simulate(
            simulation,
            payment_id,
            key=self._executor.new_idempotency_key() if idempotency_key is None else idempotency_key,
            **fields,
        )
        await self._call(request)

    async def _call(self, request: Request) -> None:
        if not self._allowed:
            raise ConfigurationError(
                "simulate: production cannot be simulated; use the sandbox", idempotency_key=request.key
            )
        await self._executor.call(request, _ignore)


def _ignore(_: object) -> None:
    """Accept any JSON, or an empty body."""

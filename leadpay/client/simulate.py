"""The five simulations. They answer at once and take effect later, as webhooks; sandbox environments only."""

from typing import Any

from leadpay.client import requests
from leadpay.client.executor import Open, RequestExecutor
from leadpay.client.requests import Request, Simulation
from leadpay.converter import decode
from leadpay.models import Agent, Party


class Simulate:
    """``lead.simulate``: lets the bank's sandbox do what the world would do.

    Raises ConfigurationError on production, before anything is sent.
    """

    def __init__(self, caller: Open) -> None:
        self._caller = caller

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
        """Let a payment of ``amount`` cents come in."""
        caller = self._caller(idempotency_key)
        request = requests.simulate_incoming(
            account_number_id=account_number_id,
            amount=amount,
            debtor=debtor,
            debtor_agent=debtor_agent,
            description=description,
            end_to_end_id=end_to_end_id,
            key=_key(caller, idempotency_key),
        )
        await _do(caller, request)

    async def incoming_return(
        self,
        payment_id: str,
        *,
        amount: int,
        reason: str,
        additional_information: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Let the counterparty give ``amount`` cents of an outgoing payment back."""
        await self._about(
            requests.INCOMING_RETURN,
            payment_id,
            idempotency_key,
            amount=amount,
            reason=reason,
            additional_information=additional_information,
        )

    async def incoming_return_request(
        self,
        payment_id: str,
        *,
        reason: str,
        additional_information: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Let the counterparty ask for an incoming payment back."""
        await self._about(
            requests.INCOMING_RETURN_REQUEST,
            payment_id,
            idempotency_key,
            reason=reason,
            additional_information=additional_information,
        )

    async def incoming_return_request_rejection(
        self,
        payment_id: str,
        *,
        reason: str,
        additional_information: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Let the counterparty turn our return request down."""
        await self._about(
            requests.INCOMING_REJECTION,
            payment_id,
            idempotency_key,
            reason=reason,
            additional_information=additional_information,
        )

    async def incoming_return_request_acceptance(self, payment_id: str, *, idempotency_key: str | None = None) -> None:
        """Let the counterparty accept our return request."""
        await self._about(requests.INCOMING_ACCEPTANCE, payment_id, idempotency_key)

    async def _about(self, kind: Simulation, payment_id: str, key: str | None, **fields: Any) -> None:
        caller = self._caller(key)
        await _do(caller, requests.simulate(kind, payment_id, key=_key(caller, key), **fields))


def _key(caller: RequestExecutor, idempotency_key: str | None) -> str:
    return caller.new_idempotency_key() if idempotency_key is None else idempotency_key


async def _do(caller: RequestExecutor, request: Request) -> None:
    await caller.call(request, _look)


def _look(body: bytes) -> None:
    """See that the answer is JSON, or, as the simulations' is, empty."""
    if body:
        decode(body)

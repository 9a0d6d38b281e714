"""``leadpay simulate``: have the bank's sandbox, or the simulated bank, do what a counterparty would do."""

from cyclopts import App

from leadpay.cli.options import client_from_env
from leadpay.cli.output import print_line
from leadpay.enums import ReturnReason, ReturnRequestReason, ReturnRequestRejectionReason
from leadpay.models import Agent, Party

simulate = App(
    name="simulate",
    help="Have a sandbox do what a counterparty would do. It takes effect a moment later, as a webhook.",
)


@simulate.command
async def incoming(
    *,
    account_number_id: str,
    amount: int,
    routing_number: str = "111000111",
    account_number: str = "1234567890",
    name: str = "Alex Smith",
    description: str | None = None,
) -> None:
    """Receive a payment from a counterparty.

    Args:
        account_number_id: The account number that receives it.
        amount: Cents.
        routing_number: The counterparty's bank.
        account_number: The counterparty's account number. At the simulated bank it can choose what happens.
        name: The counterparty's name.
        description: What the payment is for.
    """
    async with client_from_env() as lead:
        await lead.simulate.incoming(
            account_number_id=account_number_id,
            amount=amount,
            debtor=Party(name=name, account_number=account_number),
            debtor_agent=Agent(routing_number=routing_number),
            description=description,
        )
    print_line(f"a payment of {amount} cents comes to {account_number_id}")


@simulate.command(name="return")
async def return_(payment_id: str, *, amount: int, reason: str, text: str | None = None) -> None:
    """Have the counterparty return an outgoing payment.

    Args:
        payment_id: The outgoing payment.
        amount: Cents.
        reason: Why, such as undue_payment.
        text: Additional information, which some reasons need.
    """
    async with client_from_env() as lead:
        await lead.simulate.incoming_return(
            payment_id, amount=amount, reason=ReturnReason(reason), additional_information=text, unlisted=True
        )
    print_line(f"{amount} cents of {payment_id} come back")


@simulate.command
async def return_request(payment_id: str, *, reason: str, text: str | None = None) -> None:
    """Have the counterparty request the return of an incoming payment.

    Args:
        payment_id: The incoming payment.
        reason: Why, such as duplication.
        text: Additional information, which some reasons need.
    """
    async with client_from_env() as lead:
        await lead.simulate.incoming_return_request(
            payment_id, reason=ReturnRequestReason(reason), additional_information=text, unlisted=True
        )
    print_line(f"the return of {payment_id} is requested")


@simulate.command
async def acceptance(payment_id: str) -> None:
    """Have the counterparty accept our return request.

    Args:
        payment_id: The outgoing payment whose return we requested.
    """
    async with client_from_env() as lead:
        await lead.simulate.incoming_return_request_acceptance(payment_id)
    print_line(f"the return request for {payment_id} is accepted")


@simulate.command
async def rejection(payment_id: str, *, reason: str, text: str | None = None) -> None:
    """Have the counterparty reject our return request.

    Args:
        payment_id: The outgoing payment whose return we requested.
        reason: Why, such as customer_requested.
        text: Additional information, which some reasons need.
    """
    async with client_from_env() as lead:
        await lead.simulate.incoming_return_request_rejection(
            payment_id, reason=ReturnRequestRejectionReason(reason), additional_information=text, unlisted=True
        )
    print_line(f"the return request for {payment_id} is rejected")

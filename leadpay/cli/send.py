"""``leadpay send``: queue and send one payment."""

from typing import Annotated

from leadpay.cli.exit_codes import NEGATIVE, OK
from leadpay.cli.options import AsJson, Flag, OutboxUrl, confirmed, require_outbox_url
from leadpay.cli.outbox import instruction_data
from leadpay.cli.output import format_cents, print_json, print_line
from leadpay.client import LeadClient
from leadpay.errors import InvalidRequestError, Problem
from leadpay.models import Agent, Party
from leadpay.outbox import Sender, open_outbox
from leadpay.outbox.batch import AMOUNT, read_amount


async def send(
    *,
    reference: str,
    account_number_id: str,
    amount: str,
    name: str,
    account_number: str,
    routing_number: str,
    description: str | None = None,
    by: str | None = None,
    yes: Annotated[bool, Flag] = False,
    wait: float = 30.0,
    outbox_url: OutboxUrl = None,
    as_json: AsJson = False,
) -> int:
    """Queue one payment in the outbox, and send it. The same reference again pays nothing twice.

    Args:
        reference: Your own name for this payment, unique in the outbox.
        account_number_id: The account number to send from.
        amount: An integer of cents (5000), or dollars with two decimals (50.00).
        name: The receiver's name.
        account_number: The receiver's account number.
        routing_number: The routing number of the receiver's bank, nine digits.
        description: The purpose.
        by: Your name, for the audit trail.
        yes: Do not ask for a confirmation.
        wait: How long to wait until it has arrived, in seconds.
        outbox_url: The outbox, such as sqlite:///outbox.db or postgresql://host/database.
        as_json: Print the instruction as one JSON object.
    """
    cents = read_amount(amount)
    if cents is None:
        raise InvalidRequestError([Problem("amount", AMOUNT)])
    if not confirmed(f"Send {format_cents(cents)} to …{account_number[-4:]}?", yes=yes):
        return NEGATIVE
    async with LeadClient.from_env() as lead, open_outbox(require_outbox_url(outbox_url)) as outbox:
        await outbox.send(
            reference=reference,
            account_number_id=account_number_id,
            amount=cents,
            creditor=Party(name=name, account_number=account_number),
            creditor_agent=Agent(routing_number=routing_number),
            description=description,
            by=by,
        )
        async with Sender(outbox, lead):
            try:
                await outbox.wait(reference, until="arrived", timeout=wait)
            except TimeoutError:
                print_line(f"{reference}: goes on when a sender runs again: leadpay outbox run")
        [sent] = [one async for one in outbox.instructions(reference=reference)]
    if as_json:
        print_json(instruction_data(sent))
    else:
        print_line(f"{reference}: {sent.outcome or sent.state} {sent.payment_id or ''} {sent.reason or ''}".rstrip())
    return OK if sent.state == "accepted" and sent.outcome in (None, "arrived") else NEGATIVE

"""Which payment at the bank an instruction in doubt became, if that is certain. Pure."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from leadpay.enums import Direction, Status
from leadpay.models import InstantPayment
from leadpay.outbox.content import Digests
from leadpay.outbox.progress import has_our_description, our_return_request, was_rejected_by_us
from leadpay.outbox.store import Instruction

SLACK: Final = timedelta(minutes=5)
"""By how much the bank's clock and ours may differ."""


def window(instruction: Instruction, lifetime: timedelta) -> tuple[datetime, datetime]:
    """Say between which times a payment that the instruction became was created: while its key was sent."""
    first = instruction.first_attempt_at or instruction.created_at
    return first - SLACK, first + lifetime + SLACK


def fitting(
    instruction: Instruction, payments: Sequence[InstantPayment], digests: Digests, lifetime: timedelta
) -> list[InstantPayment]:
    """Pick the payments that the instruction may have become.

    For ``send`` they have the same account number, counterparty and amount, and were created while the key was sent.
    For ``return`` they return the same payment. For the other operations the payment shows what happened to it.
    """
    start, end = window(instruction, lifetime)
    return [
        payment
        for payment in payments
        if start <= _time(instruction, payment) <= end and _fits(instruction, payment, digests)
    ]


def _time(instruction: Instruction, payment: InstantPayment) -> datetime:
    if instruction.operation in {"send", "return"}:
        return payment.created_at
    if instruction.operation == "request_return":
        ours = our_return_request(instruction.content, payment)
        return payment.updated_at if ours is None else ours.created_at
    return payment.updated_at


def _fits(instruction: Instruction, payment: InstantPayment, digests: Digests) -> bool:
    content = instruction.content
    if instruction.operation == "send" and content is not None:
        creditor = digests.creditor(content["creditor_agent"]["routing_number"], content["creditor"]["account_number"])
        wanted = digests.fingerprint(content["account_number_id"], creditor, content["amount"])
        is_payment = payment.direction == Direction.OUTGOING and not payment.is_return
        return is_payment and digests.of_payment(payment) == wanted and has_our_description(content, payment)
    if instruction.operation == "return":
        is_ours = payment.direction == Direction.OUTGOING
        return is_ours and payment.original_payment_id == instruction.target_payment_id
    if instruction.operation == "cancel":
        return payment.status == Status.CANCELED
    if instruction.operation == "request_return":
        return our_return_request(content, payment) is not None
    return instruction.operation == "reject_return_request" and was_rejected_by_us(content, payment)


def decide(
    instruction: Instruction, found: Sequence[InstantPayment], claimed: Collection[str], rivals: int
) -> InstantPayment | None:
    """Give the one payment that fits, if no other instruction may claim it; None where a person must decide."""
    is_new = instruction.operation in {"send", "return"}
    free = [payment for payment in found if not (is_new and payment.id in claimed)]
    return free[0] if len(free) == 1 and not (is_new and rivals) else None


def shown(
    found: Sequence[InstantPayment], claimed: Collection[str], rivals: int, *, looked_at: datetime
) -> Mapping[str, Any]:
    """Write the evidence for a person: IDs, times and statuses, and no name or account number."""
    return {
        "looked_at": looked_at.isoformat(timespec="seconds"),
        "payments": [
            {
                "id": payment.id,
                "created_at": payment.created_at.isoformat(timespec="seconds"),
                "status": str(payment.status),
                "belongs_to_another": payment.id in claimed,
            }
            for payment in found
        ],
        "others_in_doubt": rivals,
    }

"""``leadpay outbox``: look at instructions, approve, withdraw and resolve them, and send them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import time
from typing import Annotated, Any

from cyclopts import App, Parameter

from leadpay.cli.exit_codes import NEGATIVE, OK
from leadpay.cli.options import AsJson, Flag, InboxUrl, OutboxUrl, require_outbox_url
from leadpay.cli.output import format_cents, format_time, print_fields, print_json, print_line, print_table
from leadpay.client import LeadClient
from leadpay.converter import unstructure
from leadpay.inbox import Worker, open_inbox
from leadpay.outbox import Instruction, InstructionState, Outbox, Sender, open_outbox, tracking_router
from leadpay.outbox.sender import CONCURRENCY
from leadpay.outbox.tracking import CONSUMER

outbox = App(name="outbox", help="Look at payment instructions, approve, withdraw and resolve them, and send them.")

By = Annotated[str, Parameter(env_var="LEAD_BY")]


@outbox.command
async def stats(*, outbox_url: OutboxUrl = None, as_json: AsJson = False) -> None:
    """Count instructions by state and outcome, and show what waits for a person.

    Args:
        outbox_url: The outbox, such as sqlite:///outbox.db or postgresql://host/database.
        as_json: Print one JSON object.
    """
    async with opened(outbox_url) as store:
        found = await store.stats()
    age = None if found.oldest_queued is None else max(0.0, time() - found.oldest_queued.timestamp())
    if as_json:
        data = {"by_state": found.by_state, "by_outcome": found.by_outcome, "needs_person": found.needs_person}
        print_json({**data, "oldest_queued_seconds": age, "paused_until": found.paused_until})
        return
    rows = [*sorted(found.by_state.items()), *sorted(found.by_outcome.items())]
    print_table(("STATE OR OUTCOME", "INSTRUCTIONS"), [(name, str(count)) for name, count in rows])
    if found.needs_person:
        print_line(f"{found.needs_person} in doubt need a person: leadpay outbox list --needs-person")
    if age is not None:
        print_line(f"the oldest queued instruction has waited for {age:.0f} seconds")
    if found.paused_until is not None:
        print_line(f"senders pause until {format_time(found.paused_until)} UTC: the bank is away, or asked for it")


@outbox.command(name="list")
async def list_instructions(
    *,
    state: InstructionState | None = None,
    needs_person: Annotated[bool, Flag] = False,
    limit: int = 20,
    outbox_url: OutboxUrl = None,
    as_json: AsJson = False,
) -> None:
    """List instructions, newest first.

    Args:
        state: Only instructions in this state.
        needs_person: Only those in doubt that wait for a person.
        limit: The maximum number of instructions; 0 for all.
        outbox_url: The outbox, such as sqlite:///outbox.db or postgresql://host/database.
        as_json: Print one JSON object per line, without names and account numbers.
    """
    rows = []
    async with opened(outbox_url) as store:
        async for one in store.instructions(state=state, needs_person=needs_person or None, limit=limit or None):
            if as_json:
                print_json(instruction_data(one))
            else:
                amount = "" if one.amount is None else format_cents(one.amount)
                row = (format_time(one.created_at), one.reference, one.operation, amount, one.state, one.outcome or "")
                rows.append((*row, one.payment_id or "", one.reason or ""))
    if not as_json:
        print_table(("QUEUED", "REFERENCE", "OPERATION", "AMOUNT", "STATE", "OUTCOME", "PAYMENT", "REASON"), rows)


@outbox.command
async def show(reference: str, *, outbox_url: OutboxUrl = None, as_json: AsJson = False) -> int:
    """Show an instruction, what was found about it, and its audit trail.

    Args:
        reference: The instruction's reference.
        outbox_url: The outbox, such as sqlite:///outbox.db or postgresql://host/database.
        as_json: Print one JSON object, with names and account numbers.
    """
    async with opened(outbox_url) as store:
        found = await store.get(reference)
        history = await store.history(reference)
    if found is None:
        print_line(f"{reference}: not found in this outbox")
        return NEGATIVE
    content = {"content": found.content, "payment": None if found.payment is None else unstructure(found.payment)}
    trail = [{"at": one.at, "action": one.action, "by": one.by, "detail": one.detail} for one in history]
    if as_json:
        print_json({**instruction_data(found), **content, "history": trail})
        return OK
    for name, value in instruction_data(found).items():
        if value is not None and name != "evidence":
            print_line(f"{name:<41} {value}")
    print_fields({name: value for name, value in content.items() if value is not None})
    for line in evidence_lines(found):
        print_line(line)
    print_line("")
    rows = [(format_time(one.at), one.action, one.by or "", one.detail or "") for one in history]
    print_table(("AT", "ACTION", "BY", "DETAIL"), rows)
    return OK


def evidence_lines(found: Instruction) -> list[str]:
    """Write what was found about an instruction in doubt, and what a person may do."""
    if found.evidence is None:
        return []
    lines = ["", f"looked at the bank's list at {found.evidence['looked_at']}"]
    lines += [
        f"  {one['id']}, {one['status']}, created at {one['created_at']}"
        + (", belongs to another instruction" if one["belongs_to_another"] else "")
        for one in found.evidence["payments"]
    ] or ["  no payment fits"]
    lines.append(f"  {found.evidence['others_in_doubt']} other instructions in doubt may have become them")
    if found.needs_person:
        command = f"leadpay outbox resolve {found.reference} --by NAME"
        lines += [f"it became one of them: {command} --payment-id ID", f"it did not: {command} --nothing-happened"]
    return lines


@outbox.command
async def approve(*references: str, by: By, reason: str | None = None, outbox_url: OutboxUrl = None) -> int:
    """Let held instructions be sent, whatever the limits say.

    Args:
        references: The references of the instructions.
        by: Your name, for the audit trail.
        reason: Why.
        outbox_url: The outbox, such as sqlite:///outbox.db or postgresql://host/database.
    """
    exit_code = OK
    async with opened(outbox_url) as store:
        for reference in references:
            approved = await store.approve(reference, by=by, reason=reason)
            exit_code = exit_code if approved.state == "queued" else NEGATIVE
            print_line(f"{reference}: {'queued' if approved.state == 'queued' else 'a second person must approve it'}")
    return exit_code


@outbox.command
async def withdraw(*references: str, by: By, reason: str | None = None, outbox_url: OutboxUrl = None) -> None:
    """Take instructions back before they leave.

    Args:
        references: The references of the instructions.
        by: Your name, for the audit trail.
        reason: Why.
        outbox_url: The outbox, such as sqlite:///outbox.db or postgresql://host/database.
    """
    async with opened(outbox_url) as store:
        for reference in references:
            await store.withdraw(reference, by=by, reason=reason)
            print_line(f"{reference}: withdrawn")


@outbox.command
async def resolve(
    reference: str,
    *,
    by: By,
    payment_id: str | None = None,
    nothing_happened: Annotated[bool, Flag] = False,
    reason: str | None = None,
    outbox_url: OutboxUrl = None,
) -> None:
    """Resolve an instruction in doubt, after you have looked at the evidence or asked the bank.

    Args:
        reference: The instruction's reference.
        by: Your name, for the audit trail.
        payment_id: The payment that it became.
        nothing_happened: It was surely not executed; it ends as refused.
        reason: How you know.
        outbox_url: The outbox, such as sqlite:///outbox.db or postgresql://host/database.
    """
    async with opened(outbox_url) as store:
        resolved = await store.resolve(
            reference, by=by, payment_id=payment_id, nothing_happened=nothing_happened, reason=reason
        )
    print_line(f"{reference}: {resolved.state}")


@outbox.command
async def run(
    *,
    outbox_url: OutboxUrl = None,
    inbox_url: InboxUrl = None,
    concurrency: int = CONCURRENCY,
    max_per_second: float | None = None,
) -> None:
    """Send what is queued, and follow each payment to its outcome, until Ctrl-C or SIGTERM.

    Any number of these processes may share an outbox.

    Args:
        outbox_url: The outbox, such as sqlite:///outbox.db or postgresql://host/database.
        inbox_url: An inbox in the same database, whose events move instructions on.
        concurrency: How many instructions are worked on side by side.
        max_per_second: Most attempts a second.
    """
    async with AsyncExitStack() as stack:
        lead = await stack.enter_async_context(LeadClient.from_env())
        store = await stack.enter_async_context(open_outbox(require_outbox_url(outbox_url)))
        if inbox_url:
            inbox = await stack.enter_async_context(open_inbox(inbox_url))
            await stack.enter_async_context(Worker(inbox, tracking_router(store), consumer=CONSUMER))
        sender = Sender(store, lead, concurrency=concurrency, max_per_second=max_per_second)
        print_line("sending; stop with Ctrl-C")
        await sender.run()


@asynccontextmanager
async def opened(url: str | None) -> AsyncIterator[Outbox]:
    """Open an existing outbox; a missing one is not created.

    Raises:
        ConfigurationError: it does not exist.
    """
    async with open_outbox(require_outbox_url(url), migrate=False) as store:
        yield store


def instruction_data(one: Instruction) -> dict[str, Any]:
    """Convert an instruction to JSON data, without names, account numbers and its key."""
    return {
        "reference": one.reference,
        "operation": one.operation,
        "state": one.state,
        "outcome": one.outcome,
        "account_number_id": one.account_number_id,
        "amount": one.amount,
        "target_payment_id": one.target_payment_id,
        "payment_id": one.payment_id,
        "return_payment_id": one.return_payment_id,
        "attempts": one.attempts,
        "reason": one.reason,
        "needs_person": one.needs_person,
        "evidence": one.evidence,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
        "next_at": one.next_at,
    }

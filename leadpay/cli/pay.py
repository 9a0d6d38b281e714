"""``leadpay pay``: queue and send the payments of a file. Doing it again pays nothing twice, and goes on."""

import asyncio
import csv
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from leadpay.cli.exit_codes import NEGATIVE, OK, USER_ERROR
from leadpay.cli.options import AsJson, Flag, OutboxUrl, confirmed, require_outbox_url
from leadpay.cli.output import format_cents, print_json, print_line, print_table
from leadpay.client import LeadClient
from leadpay.outbox import Instruction, Outbox, Sender, open_outbox
from leadpay.outbox.batch import Batch, RowProblem, read_csv, read_json_lines
from leadpay.outbox.content import NewInstruction
from leadpay.outbox.sender import CONCURRENCY

GROUP: Final = 500
"""How many instructions are queued in one transaction."""

LOOK_SECONDS: Final = 0.5
"""How often the progress is read."""

WAIT_SECONDS: Final = 60.0
"""How long to wait for payments to arrive, after the last one was accepted, in seconds."""

RESULT_COLUMNS: Final = ("reference", "amount", "state", "outcome", "payment_id", "reason")


async def pay(
    file: Path,
    *,
    account_number_id: str,
    dry_run: Annotated[bool, Flag] = False,
    yes: Annotated[bool, Flag] = False,
    by: str | None = None,
    wait: float = WAIT_SECONDS,
    results: Path | None = None,
    concurrency: int = CONCURRENCY,
    max_per_second: float | None = None,
    outbox_url: OutboxUrl = None,
    as_json: AsJson = False,
) -> int:
    """Pay everyone in a file: CSV with a header, or JSON lines.

    The columns are reference, amount, name, account_number, routing_number and description. An amount is an integer of
    cents (5000), or dollars with two decimals (50.00). All rows are checked before the first payment is queued. The
    same file again pays nothing twice, and goes on where it stopped.

    Args:
        file: The file: .csv, or .jsonl with one JSON object on each line.
        account_number_id: The account number to send from.
        dry_run: Check all rows and show the totals; open no outbox, queue and send nothing.
        yes: Do not ask for a confirmation of the totals.
        by: Your name, for the audit trail.
        wait: How long to wait for payments to arrive after the last one was sent, in seconds.
        results: Write the results to this CSV file; default: to standard output.
        concurrency: How many payments are sent side by side.
        max_per_second: Most attempts a second.
        outbox_url: The outbox, such as sqlite:///outbox.db or postgresql://host/database.
        as_json: Print the results as one JSON object per line.
    """
    batch = read_file(file, account_number_id)
    if batch.problems or dry_run:
        return report(batch)
    async with open_outbox(require_outbox_url(outbox_url)) as outbox:
        problems = await known_with_other_content(outbox, batch)
        if problems:
            print_problems(problems)
            return USER_ERROR
        print_totals(batch)
        if not confirmed(f"Send {len(batch.instructions)} payments?", yes=yes):
            return NEGATIVE
        for first in range(0, len(batch.instructions), GROUP):
            await outbox.add_all(batch.instructions[first : first + GROUP], by=by)
        async with LeadClient.from_env() as lead:
            sender = Sender(outbox, lead, concurrency=concurrency, max_per_second=max_per_second)
            async with sender:
                ended = await follow(outbox, batch.instructions, wait)
        write_results(ended, results, as_json=as_json)
    bad = [one for one in ended if one.state != "accepted" or one.outcome not in (None, "arrived")]
    return NEGATIVE if bad else OK


def report(batch: Batch) -> int:
    """Say what a file would pay, or what is wrong with it."""
    if batch.problems:
        print_problems(batch.problems)
        return USER_ERROR
    print_totals(batch)
    return OK


def read_file(file: Path, account_number_id: str) -> Batch:
    """Read a file by its ending."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return Batch((), {}, [RowProblem(1, "", "is not in UTF-8")])
    read = read_json_lines if file.suffix in {".jsonl", ".ndjson", ".json"} else read_csv
    return read(StringIO(text, newline=""), account_number_id=account_number_id)


async def known_with_other_content(outbox: Outbox, batch: Batch) -> list[RowProblem]:
    """Find references that were queued before, for something else."""
    found = await outbox.differences(batch.instructions)
    return [
        RowProblem(batch.rows[reference], "reference", f"was queued before with another {', '.join(fields)}")
        for reference, fields in found.items()
    ]


def print_problems(problems: Sequence[RowProblem]) -> None:
    """Print what is wrong with a file, in the order of its rows."""
    rows = [(str(one.row), one.column, one.reason) for one in sorted(problems)]
    print_table(("ROW", "COLUMN", "PROBLEM"), rows)
    print_line(f"{len(rows)} problems; nothing was queued", file=sys.stderr)


def print_totals(batch: Batch) -> None:
    """Print how much a file pays, so that a person can compare it."""
    creditors = {(new.content["creditor_agent"]["routing_number"], new.content["creditor"]["account_number"])
                 for new in batch.instructions}  # fmt: skip
    amounts = [new.amount or 0 for new in batch.instructions]
    total, largest = format_cents(batch.total), format_cents(max(amounts, default=0))
    text = f"{len(amounts)} payments to {len(creditors)} accounts, {total} in all, the largest {largest}"
    print_line(text, file=sys.stderr)


async def follow(outbox: Outbox, instructions: Sequence[NewInstruction], wait: float) -> list[Instruction]:
    """Show the progress until everything has ended, or was sent and ``wait`` is over."""
    loop = asyncio.get_running_loop()
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("sending", total=len(instructions))
        sent_at = None
        known: dict[str, Instruction] = {}
        while True:
            known |= await read(outbox, [new.reference for new in instructions if not over(known, new)])
            found = [known[new.reference] for new in instructions]
            bar.update(task, completed=sum(map(is_sent, found)), description=describe(found))
            if all(map(is_over, found)):
                return found
            if all(map(is_sent, found)):
                sent_at = loop.time() if sent_at is None else sent_at
                if loop.time() - sent_at >= wait:
                    return found
            await asyncio.sleep(LOOK_SECONDS)


def over(known: Mapping[str, Instruction], new: NewInstruction) -> bool:
    """Say whether an instruction was seen at its end."""
    return new.reference in known and is_over(known[new.reference])


async def read(outbox: Outbox, references: Sequence[str]) -> dict[str, Instruction]:
    """Read instructions by their references."""
    found: dict[str, Instruction] = {}
    for first in range(0, len(references), GROUP):
        group = await outbox.get_all(references[first : first + GROUP])
        found |= {one.reference: one for one in group}
    return found


def is_sent(one: Instruction) -> bool:
    """Say whether no sender will send it, as things are."""
    return one.state in {"accepted", "refused", "withdrawn", "held"} or one.needs_person


def is_over(one: Instruction) -> bool:
    """Say whether nothing will change without a person."""
    return one.outcome is not None or one.state == "held" or one.needs_person


def describe(found: Sequence[Instruction]) -> str:
    """Count what is of interest."""
    counts = Counter("arrived" if one.outcome == "arrived" else one.state for one in found)
    sent = counts["accepted"] + counts["arrived"]
    parts = [f"sent {sent}", f"arrived {counts['arrived']}", f"refused {counts['refused']}"]
    return ", ".join([*parts, f"in doubt {counts['in_doubt']}", f"held {counts['held']}"])


def write_results(ended: Sequence[Instruction], file: Path | None, *, as_json: bool) -> None:
    """Write the results as CSV, or as JSON lines."""
    rows: list[dict[str, Any]] = [{name: getattr(one, name) for name in RESULT_COLUMNS} for one in ended]
    print_line(describe(ended), file=sys.stderr)
    if as_json:
        for row in rows:
            print_json(row)
        return
    text = StringIO(newline="")
    writer: csv.DictWriter[str] = csv.DictWriter(text, RESULT_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    if file is None:
        print_line(text.getvalue().rstrip("\n"))
    else:
        file.write_text(text.getvalue(), encoding="utf-8")

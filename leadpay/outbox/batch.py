"""Read a file of payments, CSV or JSON lines: each problem with its row and column, before anything is queued. Pure."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from leadpay.converter import decode
from leadpay.errors import InvalidRequestError, Problem
from leadpay.models import Agent, Party
from leadpay.outbox import content
from leadpay.outbox.content import NewInstruction

COLUMNS: Final = ("reference", "amount", "name", "account_number", "routing_number", "description")
"""The columns of a file; ``description`` may be missing."""

_REQUIRED: Final = COLUMNS[:-1]

_DOLLARS: Final = re.compile(r"[0-9]{1,17}\.[0-9]{2}")
_CENTS: Final = re.compile(r"[0-9]{1,19}")

_FIELDS: Final[Mapping[str, str]] = {
    "creditor.name": "name",
    "creditor.account_number": "account_number",
    "creditor_agent.routing_number": "routing_number",
}
"""The column of a field."""


AMOUNT: Final = "must be cents (5000) or dollars with two decimals (50.00)"
"""What is wrong with an amount that cannot be read."""


def read_amount(text: str) -> int | None:
    """Read an amount as people write it: an integer of cents, or dollars with two decimals; None for anything else."""
    return int(text.replace(".", "")) if _DOLLARS.fullmatch(text) or _CENTS.fullmatch(text) else None


class RowProblem(NamedTuple):
    """One thing that is wrong with a file."""

    row: int
    """As a spreadsheet counts: the header is row 1. Of JSON lines, the line."""
    column: str
    reason: str
    """Why it is wrong, without the value itself."""


class Batch(NamedTuple):
    """What a file asks for."""

    instructions: Sequence[NewInstruction]
    rows: Mapping[str, int]
    """The row of each reference."""
    problems: Sequence[RowProblem]
    """Every problem of every row; if there is one, nothing should be queued."""

    @property
    def total(self) -> int:
        """The sum of all payments, in cents."""
        return sum(new.amount or 0 for new in self.instructions)


def read_csv(lines: Iterable[str], *, account_number_id: str) -> Batch:
    """Read CSV with a header.

    Args:
        lines: of the file.
        account_number_id: the account number to send from.
    """
    reader = csv.DictReader(lines, strict=True)
    try:
        header = list(reader.fieldnames or ())
    except csv.Error as error:
        return Batch((), {}, [RowProblem(1, "", f"is no CSV: {error}")])
    problems = [RowProblem(1, name, "is missing") for name in _REQUIRED if name not in header]
    problems += [RowProblem(1, name, "is no column that is known") for name in header if name not in COLUMNS]
    problems += [RowProblem(1, name, "is there twice") for name in set(header) if header.count(name) > 1]
    if problems:
        return Batch((), {}, problems)
    return _read(_csv_rows(reader), account_number_id)


def _csv_rows(reader: "csv.DictReader[str]") -> Iterator[tuple[int, Any]]:
    number = 1
    while True:
        number += 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, str(error)
            return
        if None in row or None in row.values():
            yield number, "has another number of columns than the header"
        else:
            yield number, row


def read_json_lines(lines: Iterable[str], *, account_number_id: str) -> Batch:
    """Read one JSON object on each line, with the same names; see :func:`read_csv`."""
    return _read(_json_rows(lines), account_number_id)


def _json_rows(lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = decode(line.encode())
        except ValueError:
            row = "is no JSON in UTF-8"
        yield number, row if isinstance(row, dict | str) else "is no JSON object"


def _read(rows: Iterable[tuple[int, Any]], account_number_id: str) -> Batch:
    problems: list[RowProblem] = []
    read: list[NewInstruction] = []
    places: dict[str, int] = {}
    spellings: set[bool] = set()
    for number, row in rows:
        if isinstance(row, str):
            problems.append(RowProblem(number, "", row))
            continue
        names = {str(name) for name in row}
        wrong = [RowProblem(number, name, "is missing") for name in _REQUIRED if name not in names]
        wrong += [RowProblem(number, name, "is no column that is known") for name in sorted(names - {*COLUMNS})]
        amount = row.get("amount")
        if isinstance(amount, str):
            text, amount = amount, read_amount(amount)
            if amount is None:
                wrong.append(RowProblem(number, "amount", AMOUNT))
            else:
                spellings.add("." in text)
        if len(spellings) > 1:
            wrong.append(RowProblem(number, "amount", "is cents where others are dollars, or the other way round"))
        new = None if wrong else _new(row, amount, account_number_id, number, wrong)
        if new is not None and new.reference in places:
            wrong.append(RowProblem(number, "reference", f"is in row {places[new.reference]}, too"))
        elif new is not None:
            places[new.reference] = number
            read.append(new)
        problems += wrong
    return Batch(read, places, problems)


def _new(
    row: Mapping[str, Any], amount: Any, account_number_id: str, number: int, wrong: list[RowProblem]
) -> NewInstruction | None:
    """Check one row as the client does, and add what is wrong with it."""
    try:
        return content.send(
            reference=row["reference"],
            account_number_id=account_number_id,
            amount=amount,
            creditor=Party(name=row["name"], account_number=row["account_number"]),
            creditor_agent=Agent(routing_number=row["routing_number"]),
            description=row.get("description") or None,
            currency_code="USD",
            priority=0,
        )
    except InvalidRequestError as error:
        wrong += [_row_problem(number, problem) for problem in error.problems]
        return None


def _row_problem(number: int, problem: Problem) -> RowProblem:
    return RowProblem(number, _FIELDS.get(problem.parameter, problem.parameter), problem.reason)

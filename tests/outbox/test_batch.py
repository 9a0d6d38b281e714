from typing import Any

import pytest

from leadpay.converter import encode
from leadpay.outbox.batch import AMOUNT, Batch, read_amount, read_csv, read_json_lines

HEADER = "reference,amount,name,account_number,routing_number,description"
ROW = "p1,50.00,Ada Lovelace,123456789,111000111,rent"


def csv_of(*rows: str, header: str = HEADER) -> Batch:
    """Read CSV."""
    lines = "".join(f"{line}\r\n" for line in (header, *rows)).splitlines(keepends=True)
    return read_csv(lines, account_number_id="account_number_1")


def test_a_row_is_a_payment() -> None:
    """Dollars with two decimals become cents, and an empty description is none."""
    batch = csv_of(ROW, 'p2,0.05,"Brown, Bob",1,111000111,')
    assert batch.problems == []
    assert [new.amount for new in batch.instructions] == [5000, 5]
    assert batch.instructions[0].content["description"] == "rent"
    assert batch.instructions[1].content["creditor"]["name"] == "Brown, Bob"
    assert "description" not in batch.instructions[1].content
    assert (batch.total, batch.rows) == (5005, {"p1": 2, "p2": 3})


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ("p1,50.5,Ada Lovelace,123456789,111000111,", "amount", AMOUNT),
        ("p1,$50.00,Ada Lovelace,123456789,111000111,", "amount", AMOUNT),
        ("p1,-1,Ada Lovelace,123456789,111000111,", "amount", AMOUNT),
        ("p1,,Ada Lovelace,123456789,111000111,", "amount", AMOUNT),
        ("p1,50.00,A,123456789,111000111,", "name", "must have 3 to 35 characters"),
        ("p1,50.00,Ada Lovelace,,111000111,", "account_number", "must have 1 to 17 characters"),
        ("p1,50.00,Ada Lovelace,1,11100011,", "routing_number", "must be a string of nine digits"),
        (",50.00,Ada Lovelace,1,111000111,", "reference", "must have 1 to 200 characters"),
        ("p1,50.00,Ada Lovelace", "", "has another number of columns than the header"),
        (f"{ROW},more", "", "has another number of columns than the header"),
        ('p1,"50.00"x,Ada Lovelace,1,111000111,', "", "',' expected after '\"'"),
        ("p0,50.00,Ada Lovelace,1,111000111,", "reference", "is in row 2, too"),
        ("p1,5000,Ada Lovelace,1,111000111,", "amount",
         "is cents where others are dollars, or the other way round"),
    ],
)  # fmt: skip
def test_each_problem_has_its_row_and_column(row: str, column: str, reason: str) -> None:
    """The rows before and after it are checked, too, and no value is shown."""
    batch = csv_of("p0,50.00,Ada Lovelace,123456789,111000111,", row)
    assert batch.problems == [(3, column, reason)]


@pytest.mark.parametrize(
    ("header", "problems"),
    [
        ("reference,amount,name,account_number", [("routing_number", "is missing")]),
        (f"{HEADER},memo", [("memo", "is no column that is known")]),
        (f"{HEADER},amount", [("amount", "is there twice")]),
        ('"reference"x', [("", "is no CSV: ',' expected after '\"'")]),
    ],
)
def test_a_header_must_have_the_columns(header: str, problems: list[tuple[str, str]]) -> None:
    """A misspelt column would be left out silently."""
    assert csv_of(ROW, header=header).problems == [(1, *problem) for problem in problems]


def test_json_lines_have_the_same_names() -> None:
    """An amount is an integer of cents, or written as in CSV."""
    row: dict[str, Any] = {"reference": "p1", "amount": 5000, "name": "Ada Lovelace", "account_number": "1"}
    whole = {**row, "routing_number": "111000111"}
    lines = [
        encode(whole).decode(),
        "",
        encode({**whole, "reference": "p2", "amount": "50.00"}).decode(),
        encode({**whole, "reference": "p3", "amount": 50.0}).decode(),
        encode({**row, "reference": "p4", "memo": "x"}).decode(),
        "{",
        "7",
    ]
    batch = read_json_lines(lines, account_number_id="account_number_1")
    assert [new.amount for new in batch.instructions] == [5000, 5000]
    assert batch.problems == [
        (4, "amount", "must be an int of cents, not float"),
        (5, "routing_number", "is missing"),
        (5, "memo", "is no column that is known"),
        (6, "", "is no JSON in UTF-8"),
        (7, "", "is no JSON object"),
    ]


def test_an_amount_is_cents_or_dollars() -> None:
    """Anything else is None."""
    assert [read_amount(text) for text in ("5000", "50.00", "0", "50.5", "5e3", "\u0665", "")] == [
        5000, 5000, 0, None, None, None, None
    ]  # fmt: skip

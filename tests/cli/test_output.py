"""Printed tables and fields, with personal data masked."""

from datetime import UTC, datetime

import pytest

from leadpay.cli.output import flatten, format_cents, format_time, print_table


def test_cents_are_formatted_with_two_digits() -> None:
    """Dollars have separators for thousands."""
    assert [format_cents(5), format_cents(1999), format_cents(123456789)] == ["$0.05", "$19.99", "$1,234,567.89"]
    assert format_cents(-1999) == "-$19.99"


def test_a_time_is_formatted_to_the_second() -> None:
    """Fractions of a second are left out."""
    assert format_time(datetime(2025, 1, 6, 9, 5, 7, 999, tzinfo=UTC)) == "2025-01-06 09:05:07"


def test_nested_fields_are_flattened_and_masked() -> None:
    """A name inside a list is masked too, and a missing value stays empty."""
    data = {
        "a": [{"name": "Jo Doe"}, {"name": ""}],
        "b": None,
        "creditor": {"account_number": "12"},
        "creditor_agent": {"routing_number": "111000111"},
        "payment_status": "posted",
    }
    assert flatten(data) == [
        ("a[0].name", "…"),
        ("a[1].name", ""),
        ("b", ""),
        ("creditor.account_number", "…"),
        ("creditor_agent.routing_number", "111000111"),
        ("payment_status", "posted"),
    ]


def test_a_long_row_stays_one_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is cut off or wrapped where there is no terminal."""
    print_table(("ID", "NOTE"), [("event_1", "x" * 500)])
    assert capsys.readouterr().out.splitlines()[1] == f"event_1  {'x' * 500}"

"""``leadpay explain``."""

import json

import pytest

from leadpay.explanations import every_explanation
from tests.cli.conftest import ExitCode


def test_a_reason_is_explained(exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    """In each enum that has it; the code is marked as leadpay's own."""
    assert exit_code_of("explain", "creditor_account_number_invalid") == 0
    text = capsys.readouterr().out
    assert "creditor_account_number_invalid (rejection reason)" in text
    assert "creditor_account_number_invalid (return request reason)" in text
    assert "AC03 (by leadpay; the bank publishes none)" in text
    assert "who must act      customer" in text


def test_an_older_spelling_is_explained(exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    """Under its current one."""
    assert exit_code_of("explain", "fraudulent") == 0
    assert "fraud_suspected (return reason)" in capsys.readouterr().out


def test_an_unknown_value_is_exit_code_1(exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so, as text and as JSON."""
    assert exit_code_of("explain", "frozen") == 1
    assert "Unknown to this version of leadpay" in capsys.readouterr().out
    assert exit_code_of("explain", "frozen", "--json") == 1
    assert json.loads(capsys.readouterr().out)["is_known"] is False


def test_all_values_are_listed(exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    """As a table, or as one JSON object each."""
    assert exit_code_of("explain") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(every_explanation()) + 1
    assert exit_code_of("explain", "--json") == 0
    [first, *_] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (first["code"], first["who"], first["try_again"]) == ("account_closed", "customer", "with other data")

"""Every limit of every field, before a request leaves."""

from typing import Any

import pytest

from leadpay.client import requests
from leadpay.models import Agent, Party
from tests.support.validation import ORDER, problems_of


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("amount", 50.0, "amount"),
        ("amount", True, "amount"),
        ("amount", "5000", "amount"),
        ("amount", -1, "amount"),
        ("amount", 2**63, "amount"),
        ("account_number_id", "account_number_1/../x", "account_number_id"),
        ("account_number_id", "account_1", "account_number_id"),
        ("account_number_id", "account_number_é", "account_number_id"),
        ("account_number_id", "account_number_1\n", "account_number_id"),
        ("account_number_id", None, "account_number_id"),
        ("currency_code", "EUR", "currency_code"),
        ("creditor", {"name": "Alex Smith", "account_number": "1"}, "creditor"),
        ("creditor", Party(name="Al", account_number="1"), "creditor.name"),
        ("creditor", Party(name="A" * 36, account_number="1"), "creditor.name"),
        ("creditor", Party(name="\ud800\ud800\ud800", account_number="1"), "creditor.name"),
        ("creditor", Party(name="Alex", account_number=""), "creditor.account_number"),
        ("creditor", Party(name="Alex", account_number="1" * 18), "creditor.account_number"),
        ("creditor", Party(name="Alex", account_number=1234), "creditor.account_number"),  # type: ignore[arg-type]
        ("creditor", Party(name="Alex\tSmith", account_number="1"), "creditor.name"),
        ("creditor", Party(name="Alex\u202eSmith", account_number="1"), "creditor.name"),
        ("creditor", Party(name="   ", account_number="1"), "creditor.name"),
        ("creditor", Party(name="Alex Smith ", account_number="1"), "creditor.name"),
        ("creditor", Party(name="Alex", account_number=" 1"), "creditor.account_number"),
        ("creditor", Party(name="Alex", account_number="   "), "creditor.account_number"),
        ("creditor", Party(name="Alex", account_number="account_number_1"), "creditor.account_number"),
        ("creditor", Party(name="Alex", account_number="\u0661\u0662\u0663"), "creditor.account_number"),
        ("creditor_agent", "111000111", "creditor_agent"),
        ("description", "two\nlines", "description"),
        ("description", "\ufeffrent", "description"),
        ("creditor_agent", Agent(routing_number="11100011"), "creditor_agent.routing_number"),
        ("creditor_agent", Agent(routing_number="11100011\u0661"), "creditor_agent.routing_number"),
        ("creditor_agent", Agent(routing_number=111000111), "creditor_agent.routing_number"),  # type: ignore[arg-type]
        ("description", "d" * 141, "description"),
        ("description", 5, "description"),
        ("key", "", "idempotency_key"),
        ("key", "k" * 256, "idempotency_key"),
        ("key", "line\nbreak", "idempotency_key"),
        ("key", " spaces ", "idempotency_key"),
        ("key", "schlüssel", "idempotency_key"),
        ("key", b"key", "idempotency_key"),
    ],
)
def test_a_wrong_value_is_refused_by_its_field(field: str, value: Any, named: str) -> None:
    """The field is named, and the value is not shown."""
    problems = problems_of(requests.send, **{**ORDER, field: value})
    assert list(problems) == [named]
    assert repr(value) not in problems[named]

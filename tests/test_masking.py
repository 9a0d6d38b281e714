"""Personal data in nested JSON is found and masked."""

from leadpay.masking import fields, mask


def test_an_account_number_keeps_its_last_four_digits() -> None:
    """Names, and numbers too short to hide anything, are masked whole."""
    assert [mask("1234567890"), mask("1234"), mask("Jo Doe")] == ["…7890", "…", "…"]


def test_each_value_has_its_path() -> None:
    """A name inside a list is masked too, what has no personal data is shown, and a missing value stays empty."""
    data = {
        "a": [{"name": "Jo Doe"}, {"name": ""}],
        "b": None,
        "creditor": {"account_number": "1234567890"},
        "creditor_agent": {"routing_number": "111000111"},
        "payment_status": "posted",
    }
    assert [(field.path, field.shown, field.is_masked) for field in fields(data)] == [
        ("a[0].name", "…", True),
        ("a[1].name", "", False),
        ("b", "", False),
        ("creditor.account_number", "…7890", True),
        ("creditor_agent.routing_number", "111000111", False),
        ("payment_status", "posted", False),
    ]
    assert "Jo Doe" not in repr(list(fields(data)))

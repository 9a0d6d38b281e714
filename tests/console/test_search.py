"""What is typed into the search field."""

from leadpay.console.search import Search, read


def test_a_search_is_a_text_or_an_amount() -> None:
    """Dollars with or without cents; spaces around do not count."""
    assert read("  ") is None
    assert read(" $1,234.50 ") == Search("$1,234.50", 123450)
    assert read("50") == Search("50", 5000)
    assert read("Ab-12") == Search("ab-12", None)
    assert read("9" * 500) == Search("9" * 200, None)

"""The public names of ``leadpay.webhooks``."""

import pytest

from leadpay import webhooks


def test_all_names_resolve_and_are_sorted() -> None:
    """``__all__`` and ``dir()`` list the same names, and each can be imported."""
    assert webhooks.__all__ == sorted(webhooks.__all__) == dir(webhooks)
    for name in webhooks.__all__:
        assert getattr(webhooks, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A misspelled name raises, and is a type error too."""
    with pytest.raises(AttributeError, match=r"module 'leadpay.webhooks' has no attribute 'verfy'"):
        webhooks.verfy  # type: ignore[attr-defined]  # noqa: B018 - the access is the test

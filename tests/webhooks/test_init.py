"""The front door of ``leadpay.webhooks``."""

import importlib

import pytest

from leadpay import webhooks


def test_all_names_are_sorted_and_complete() -> None:
    """``__all__`` lists what can be found, in order, and dir() shows the same."""
    assert webhooks.__all__ == sorted(webhooks._HOMES) == dir(webhooks)


@pytest.mark.parametrize("name", webhooks.__all__)
def test_each_name_is_what_its_module_defines(name: str) -> None:
    """A name gives the very object of the module where it lives, each time."""
    home = importlib.import_module(f"leadpay.webhooks.{webhooks._HOMES[name]}")
    assert webhooks.__getattr__(name) is getattr(webhooks, name) is getattr(home, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A slip is reported as for any module."""
    with pytest.raises(AttributeError, match=r"module 'leadpay.webhooks' has no attribute 'verfy'"):
        _ = webhooks.verfy

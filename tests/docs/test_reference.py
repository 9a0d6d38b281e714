"""Every public name is in the reference."""

import importlib
import re
from types import ModuleType
from typing import Any

import pytest

from tests.docs.reader import ROOT

DIRECTIVE = re.compile(r"^\.\. auto\w+:: ([\w.]+)", re.MULTILINE)


def find(path: str) -> Any:
    """Look a documented name up."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


DOCUMENTED = [
    path for page in (ROOT / "docs" / "reference").glob("*.md") for path in DIRECTIVE.findall(page.read_text())
]


def public(module: ModuleType) -> list[str]:
    """List a module's public names: its ``__all__`` or, without one, what it defines."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    defined = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    homes = getattr(module, "_HOMES", {})
    return [name for name in (*defined, *homes) if not name.startswith("_")]


@pytest.mark.parametrize(
    "name",
    [
        "leadpay",
        "leadpay.webhooks",
        "leadpay.inbox",
        "leadpay.outbox",
        "leadpay.sandbox",
        "leadpay.testing",
        "leadpay.otel",
        "leadpay.instrumentation",
        "leadpay.console",
    ],
)
def test_every_public_name_is_documented(name: str) -> None:
    """A public name is in the reference, under this name or under another name of the same object."""
    module = importlib.import_module(name)
    things = [find(path) for path in DOCUMENTED]
    hidden = {"leadpay.testing": {"BankThread", "T", "pytest_runtest_call"}}.get(name, set())
    missing = [
        one
        for one in public(module)
        if one not in hidden
        and f"{name}.{one}" not in DOCUMENTED
        and not any(getattr(module, one) is thing for thing in things)
    ]
    assert missing == []


def test_nothing_is_documented_twice() -> None:
    """Each name has one place in the reference."""
    things = [find(path) for path in DOCUMENTED]
    assert len({id(thing) for thing in things if callable(thing)}) == sum(callable(thing) for thing in things)

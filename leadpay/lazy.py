"""Package names that are imported when they are first used (PEP 562).

A package lists its public names in its stub, ``__init__.pyi``, which type checkers read. This module reads the same
stub at run time, so that each name is written once. ``lazy_loader.attach_stub`` of scientific Python does the same.
"""

import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

_IMPORT: Final = re.compile(r"^from (\S+) import (\w+) as \2$", re.MULTILINE)


def attach_stub(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make a package's ``__getattr__``, ``__dir__`` and ``__all__`` from its stub.

    Args:
        package: the package's ``__name__``.
        file: its ``__file__``, beside which the stub is.
    """
    module = sys.modules[package]
    with open(file.removesuffix("c") + "i", encoding="utf-8") as stub:  # noqa: PTH123 - pathlib takes long to import
        modules = {name: home for home, name in _IMPORT.findall(stub.read())}
    names = sorted(modules)

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(modules[name]), name)
        setattr(module, name, value)
        return value

    return get, lambda: names, names

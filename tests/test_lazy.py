"""Package names that are imported when they are first used."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

STUB = """from {name}.parts import question as question
from {name}.parts import Missing as Missing

__version__: str
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    name = f"lazy_package_{request.node.name}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.pyi").write_text(STUB.format(name=name))
    (tmp_path / name / "__init__.py").write_text(
        "from leadpay.lazy import attach_stub\n__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)\n"
    )
    (tmp_path / name / "parts.py").write_text("question = [42]\n")
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module(name)


def test_a_name_is_imported_when_it_is_first_used(package: ModuleType) -> None:
    """The module behind a name is not loaded before, and the name is then an ordinary attribute."""
    assert f"{package.__name__}.parts" not in sys.modules
    assert package.question == [42]
    assert vars(package)["question"] is sys.modules[f"{package.__name__}.parts"].question


def test_names_are_listed_in_order(package: ModuleType) -> None:
    """``dir`` and ``__all__`` list the stub's imports, sorted, and nothing else."""
    assert package.__all__ == dir(package) == ["Missing", "question"]


def test_unknown_and_missing_names_are_attribute_errors(package: ModuleType) -> None:
    """A name that the stub doesn't have, or its module doesn't, is an AttributeError."""
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        package.other  # noqa: B018 - the access is the test
    with pytest.raises(AttributeError, match="no attribute 'Missing'"):
        package.Missing  # noqa: B018 - the access is the test

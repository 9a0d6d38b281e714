"""The package's public names: sorted, complete, and cheap to import."""

import subprocess
import sys

import pytest

import leadpay


def test_all_is_sorted_and_complete() -> None:
    """Every name in ``__all__`` resolves, and they stand in order."""
    assert leadpay.__all__ == sorted(leadpay.__all__)
    assert dir(leadpay) == leadpay.__all__
    for name in leadpay.__all__:
        assert getattr(leadpay, name) is not None


def test_every_exception_is_public() -> None:
    """Everything that leadpay raises can be caught by its public name."""
    from leadpay import errors  # noqa: PLC0415 - its contents are the subject

    raised = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.LeadError)
    }
    assert raised <= set(leadpay.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A misspelled name raises, and is a type error too."""
    with pytest.raises(AttributeError, match="no attribute 'LeadKlient'"):
        leadpay.LeadKlient  # type: ignore[attr-defined]  # noqa: B018 - the access is the test


def test_importing_leadpay_imports_nothing_large() -> None:
    """Names are resolved when first used, so ``import leadpay`` is small, and the verifier needs no aiohttp."""
    code = (
        "import sys, leadpay\nfrom leadpay.webhooks import verify\n"
        "large = {'aiohttp', 'attrs', 'attr', 'cattrs', 'msgspec', 'orjson', 'asyncio'}\n"
        "assert not large & set(sys.modules), large & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code


def test_every_literal_type_is_public() -> None:
    """The types of arguments can be imported beside the enums."""
    from leadpay import enums  # noqa: PLC0415 - its contents are the subject

    assert {name for name in vars(enums) if name.endswith("Literal")} - {"Literal"} <= set(leadpay.__all__)

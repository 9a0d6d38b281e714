"""JSON as it goes over the wire."""

from types import SimpleNamespace
from typing import Any

import pytest

from leadpay.enums import Status
from leadpay.wire import decode, encode


class Text(str):
    """A string with a class of its own, such as a template's."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another"


class Number(int):
    """An integer with a class of its own."""


@pytest.mark.parametrize(
    ("data", "body"),
    [
        ({Text("a"): Text("é"), "b": [Number(2**70)]}, '{"a":"é","b":[1180591620717411303424]}'),
        ([Status.POSTED, Status("frozen"), True, None], '["posted","frozen",true,null]'),
    ],
)
def test_a_subclass_of_a_text_or_a_number_is_written_as_what_it_is(data: Any, body: str) -> None:
    """Whatever its class prints, and bool and enums are no exception."""
    assert encode(data) == body.encode()


def test_what_json_does_not_have_is_refused() -> None:
    """By its class, without what is in it."""
    with pytest.raises(TypeError, match=r"^JSON has no SimpleNamespace$"):
        encode({"a": SimpleNamespace(secret="s3cret")})


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"a":1', b'"\xff"', b'"\\ud800"', b"NaN", b"9" * 5000, b"[" * 100_000, '"\ud800"']
)
def test_what_is_no_json_is_refused_without_a_quotation(body: Any) -> None:
    """Nor does its cause tell more: what was read may be a name."""
    with pytest.raises(ValueError, match=r"^must be JSON in UTF-8$") as caught:
        decode(body)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None

"""The glossary: each term is defined once and names the module that it belongs to."""

import re
from importlib.util import find_spec

import pytest

from tests.docs.reader import ROOT
from tests.support.fences import fences

ENTRY = re.compile(r"^(\S.*)\n((?:  .+\n?)+)", re.MULTILINE)
TERMS = [
    (term, " ".join(text.split()))
    for block in fences((ROOT / "docs" / "glossary.md").read_text())
    for term, text in ENTRY.findall(block.text)
]


@pytest.mark.parametrize(("term", "text"), TERMS, ids=[term for term, _ in TERMS])
def test_a_term_has_a_sentence_and_a_module(term: str, text: str) -> None:
    """A definition ends with a module that exists."""
    found = re.fullmatch(r".*\. `(leadpay[\w.]*)`", text)
    assert found, text
    assert find_spec(found[1]), found[1]


def test_a_term_is_defined_once() -> None:
    """No term has two meanings."""
    terms = [term for term, _ in TERMS]
    assert len(set(terms)) == len(terms) > 50

"""A reader who follows a page gets what the page shows."""

from pathlib import Path

import pytest

from tests.docs.reader import ROOT, Reader
from tests.support.fences import fences

PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)
SHOWN = (
    *("text", "{code-block}", "{command-reference}", "{eval-rst}", "{glossary}", "{literalinclude}"),
    *("{reason-reference}", "{toctree}"),
)
"""Blocks that a reader only reads; included files are examples, which have their own tests."""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT / "docs").with_suffix("")))
def test_a_page_does_what_it_says(
    path: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks of a page, followed in order in an empty folder, give what the page shows."""
    reader = Reader(pytester, monkeypatch, capsys)
    try:
        for block in fences(path.read_text()):
            if block.language.partition(" ")[0] not in SHOWN:
                reader.follow(block)
    finally:
        reader.close()

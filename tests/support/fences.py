"""The fenced blocks of a Markdown page."""

import re
from textwrap import dedent
from typing import NamedTuple


class Block(NamedTuple):
    """One fenced block."""

    language: str
    text: str
    line: int
    """Where its text begins in the page, counted from 1."""


def fences(page: str) -> list[Block]:
    """Find all blocks of a page, in order, those inside of lists too."""
    found = re.finditer(r"^( *)```([^\n`]*)\n(.*?)^\1```$", page, re.DOTALL | re.MULTILINE)
    return [Block(one[2].strip(), dedent(one[3]), page[: one.start(3)].count("\n") + 1) for one in found]

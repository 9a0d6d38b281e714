"""The fenced blocks of a Markdown page."""

import re
from typing import NamedTuple


class Block(NamedTuple):
    """One fenced block."""

    language: str
    text: str
    line: int
    """Where its text begins in the page, counted from 1."""


def fences(page: str) -> list[Block]:
    """Find all blocks of a page, in order."""
    found = re.finditer(r"^```([^\n`]*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [Block(one[1].strip(), one[2], page[: one.start(2)].count("\n") + 1) for one in found]

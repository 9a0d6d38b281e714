"""Retired words: the code and the documentation use the terms of the glossary, each with one meaning.

CHANGELOG.md says which names and words are retired; it is the only file that may have them.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = (".ci", ".github", "benchmarks", "docs", "examples", "leadpay", "tests")
SUFFIXES = {"", ".md", ".py", ".sql", ".toml", ".yml"}
PAPERS = ("CONTRIBUTING.md", "README.md", "SECURITY.md", "pyproject.toml")

UNRELEASED = (ROOT / "CHANGELOG.md").read_text().partition("### Changed")[2]
_, _, RENAMED = UNRELEASED.partition("- Renamed inside the package: ")
IDENTIFIERS = re.findall(r"`(\w+)` to `", RENAMED.partition("\n- ")[0])
"""Names that are retired in this spelling."""
WORDS = re.findall(r"`(\w+)`", UNRELEASED.partition("These words are no longer used: ")[2].partition(".")[0])
"""Words that are retired wherever they stand, in any case."""

CRASH_POINT = "a part of a crash point's name"
ALLOWED = {
    ("docs/howto/test.md", "answer"): CRASH_POINT,
    ("leadpay/outbox/crashes.py", "answer"): CRASH_POINT,
    ("leadpay/outbox/sender.py", "answer"): CRASH_POINT,
    ("leadpay/testing.py", "answer"): CRASH_POINT,
    ("tests/outbox/test_crashes.py", "answer"): CRASH_POINT,
    ("benchmarks/samples.py", "settlement"): "a part of an unknown field's name",
    ("docs/conf.py", "fence"): "MyST's name for an extension",
    ("docs/glossary.md", "settlement"): "the entry that explains it",
    ("docs/glossary.md", "settle"): "the same entry",
}
"""Uses that stay, each with its reason: a file and a word."""


def texts() -> dict[str, str]:
    """Read every text file of the project, by its path."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES]
    found += [ROOT / name for name in PAPERS]
    ignored = {"_build", "__pycache__", "vectors"}
    names = {path.relative_to(ROOT).as_posix(): path for path in found if path.is_file() and path != Path(__file__)}
    return {name: path.read_text() for name, path in sorted(names.items()) if not ignored & set(path.parts)}


TEXTS = texts()


def uses(pattern: re.Pattern[str]) -> list[str]:
    """List the uses of a word that are not allowed, as ``file:line: text``."""
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in TEXTS.items()
        for number, line in enumerate(text.splitlines(), 1)
        if (found := pattern.search(line)) and (name, found[0].lower()) not in ALLOWED
    ]


def test_the_changelog_lists_names_and_words() -> None:
    """Without a list the tests below would pass whatever is written."""
    assert len(IDENTIFIERS) > 10
    assert len(WORDS) > 10


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_a_retired_identifier_is_not_used(name: str) -> None:
    """A name of the old vocabulary is neither defined nor mentioned; a sentence may begin with the same word."""
    assert uses(re.compile(rf"(?<![\w\"])(?<!# )(?<!-- ){name}(?!\w)")) == []


@pytest.mark.parametrize("word", WORDS)
def test_a_retired_word_is_not_used(word: str) -> None:
    """A word of the old vocabulary stands neither alone nor as a part of a name; "in doubt" is a state."""
    assert uses(re.compile(rf"(?<![a-z])(?<!no_)(?<!in_)(?<!in ){word}(?![a-z])", re.IGNORECASE)) == []


def test_each_exception_is_used() -> None:
    """An exception that is no longer needed is removed from the list."""
    unused = [
        one for one in ALLOWED if not re.search(rf"(?<![a-z]){one[1]}(?![a-z])", TEXTS.get(one[0], ""), re.IGNORECASE)
    ]
    assert unused == []

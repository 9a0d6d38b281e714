"""Retired words: the code and the documentation use the terms of the glossary, each with one meaning."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = (".ci", ".github", "benchmarks", "docs", "examples", "leadpay", "tests")
SUFFIXES = {"", ".md", ".py", ".sql", ".toml", ".yml"}
PAPERS = ("CONTRIBUTING.md", "README.md", "SECURITY.md", "pyproject.toml")
"""CHANGELOG.md is left out: it names what was renamed."""

IDENTIFIERS = {
    "Caller": "RequestExecutor",
    "Chance": "clock, rng, new_idempotency_key",
    "Checks": "Validator",
    "Desk": "ConnectionThread",
    "Face": "HttpApi",
    "GRACE": "SHUTDOWN_TIMEOUT",
    "Gather": "InsertBatcher",
    "Habits": "WorkerConfig",
    "Handling": "HandlerRun",
    "Hold": "ExclusiveSession",
    "KEEPING": "write it as a sentence",
    "KEEP_BODIES": "BODY_RETENTION_DAYS",
    "Keeper": "EventStore",
    "Listing": "AsyncPager",
    "PATIENCE": "STORE_BACKOFF, or a timeout",
    "SPREAD": "JITTER",
    "Shelf": "Collection",
    "Story": "Scenario",
    "Trail": "CycleDetector",
    "Turn": "ClaimExecution",
    "Verdict": "Disposition",
    "_Once": "_Deduplicator",
    "ask_back": "request_return",
    "before_moving": "on_advance",
    "give_back": "return_payment",
    "return_": "return_payment",
    "tell": "notify",
    "wakes": "revision",
}
"""Names that are retired in this spelling. The value says what to write instead."""

CALLED = {"return_", "tell"}
"""Names that are retired for functions only: ``InstantPayment.return_`` is the bank's field."""

WORDS = {
    r"(?<!no_)answer(s|ed|ing)?": "response; decision; result",
    r"desks?": "connection thread; machine",
    r"doubt(s|ed|ful)?": "ambiguous",
    r"earnest": "production",
    r"fac(t|ts)": "observation",
    r"fates?": "fault, outcome",
    r"fence": "fencing token",
    r"habits?": "configuration",
    r"hear(s|d|ing)?": "receive",
    r"hurr(y|ied|ies)": "run now",
    r"likewise": "the same",
    r"mend(s|ed|ing)?": "fix, correct",
    r"nobody": "name who does not: no handler, no process",
    r"pretend(s|ed|ing)?": "sandbox, simulate",
    r"settl(e|es|ed|ing|ements?)": "settlement is the movement of funds between banks, and leadpay does none",
    r"shel(f|ves)": "collection",
    r"so-manieth": "n-th",
    r"somebody": "name who: a person, a process, a handler",
    r"stor(y|ies)": "scenario, case",
    r"whoever": "name who: a caller, a worker",
    r"what came of \w+": "result, outcome",
}
"""Words that are retired wherever they stand, in any case. The value says what to write instead."""

ALLOWED = {
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


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_a_retired_identifier_is_not_used(name: str) -> None:
    """A name of the old vocabulary is neither defined nor mentioned; a sentence may begin with the same word."""
    called = r"(?=\()" if name in CALLED else r"(?!\w)"
    assert uses(re.compile(rf"(?<![\w\"])(?<!# )(?<!-- ){name}{called}")) == []


@pytest.mark.parametrize("word", WORDS)
def test_a_retired_word_is_not_used(word: str) -> None:
    """A word of the old vocabulary stands neither alone nor as a part of a name in snake case."""
    pattern = re.compile(rf"(?<![a-z])(?:{word})(?![a-z])", re.IGNORECASE)
    assert uses(pattern) == []


def test_each_exception_is_used() -> None:
    """An exception that is no longer needed is removed from the list."""
    unused = [
        one for one in ALLOWED if not re.search(rf"(?<![a-z]){one[1]}(?![a-z])", TEXTS.get(one[0], ""), re.IGNORECASE)
    ]
    assert unused == []

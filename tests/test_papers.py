"""The papers that come with a release say what is so."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_changelog_begins_with_what_is_unreleased() -> None:
    """Each version after it has a date; the newest comes first."""
    first, *others = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    assert first == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", one) for one in others)
    assert sorted(others, reverse=True) == others


def test_the_changelog_sorts_changes_by_their_kind() -> None:
    """The kinds are those of Keep a Changelog, each at most once in a version."""
    for version in CHANGELOG.split("\n## ")[1:]:
        kinds = re.findall(r"^### (.*)$", version, re.MULTILINE)
        assert set(kinds) <= KINDS
        assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize("paper", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_every_link_leads_somewhere(paper: str) -> None:
    """A link to a file of this checkout names one that is there."""
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / paper).read_text())
    missing = [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()]
    assert missing == []


def test_contributing_tells_of_every_folder_of_tests() -> None:
    """A newcomer finds out where a test belongs."""
    folders = {f"tests/{path.name}" for path in (ROOT / "tests").iterdir() if any(path.glob("test_*.py"))}
    assert folders <= set(re.findall(r"`(tests/\w+)`", CONTRIBUTING))

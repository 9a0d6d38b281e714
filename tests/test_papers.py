"""The project's papers: README, CONTRIBUTING, SECURITY, CHANGELOG, and what describes the package to an index."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
PAPERS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
HERE = re.compile(r"https://(?:github|raw\.githubusercontent)\.com/leadpay/leadpay/(?:(?:blob|tree)/)?main/(.+)")
"""An absolute link to a file of this repository."""

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


def links(paper: str) -> list[str]:
    """List the targets of a paper's links and pictures, without fragments."""
    return re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / paper).read_text())


@pytest.mark.parametrize("paper", PAPERS)
def test_every_link_to_a_file_of_this_repository_names_one(paper: str) -> None:
    """Relative links and absolute ones are checked; links to other sites are not."""
    files = [found[1] if (found := HERE.fullmatch(link)) else link for link in links(paper)]
    assert [file for file in files if not file.startswith("https://") and not (ROOT / file).exists()] == []


def test_the_links_of_the_readme_are_absolute() -> None:
    """A package index shows the README without the repository's files."""
    assert [link for link in links("README.md") if not link.startswith("https://")] == []


def test_the_project_urls_point_to_one_repository() -> None:
    """The URLs that a package index shows belong to the repository that the README links to."""
    assert set(URLS) == {"Homepage", "Documentation", "Source", "Changelog", "Issues"}
    assert all(url.startswith(URLS["Homepage"]) for url in URLS.values())


@pytest.mark.parametrize("paper", ["CONTRIBUTING.md", "docs/index.md"])
def test_the_glossary_is_linked(paper: str) -> None:
    """A newcomer finds the glossary from the index page and from CONTRIBUTING."""
    assert "glossary" in (ROOT / paper).read_text()


def test_ci_runs_the_one_command() -> None:
    """CI runs what CONTRIBUTING names, on every Python version that the package names."""
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    versions = [found[1] for one in classifiers if (found := re.fullmatch(r".* :: (3\.\d+)", one))]
    assert "run: .ci/run" in workflow
    assert re.findall(r'"(3\.\d+)"', workflow) == versions

"""Every example runs as a stranger would run it."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
EXPECTED = {
    "quickstart": "arrived: True",
    "aiohttp_app": "credit 5000 cents; a return: True",
    "durable": "credited: [(5000,)]",
    "traces": "    book",
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_shows_its_point(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends without an error, and its last line is what it set out to show."""
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.splitlines()[-1] == EXPECTED[path.stem]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short(path: Path) -> None:
    """An example that does not fit on two screens is no example."""
    assert len(path.read_text().splitlines()) < 90

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
    "fastapi_app": "credit 5000 cents",
    "bare_asyncio": "credit 5000 cents",
    "two_programs": "statuses: [200, 401]",
    "aws_lambda": "{'statusCode': 401}",
}
HOMES = {"fastapi_app", "bare_asyncio", "two_programs", "aws_lambda"}
"""Examples of other homes for a receiver: shorter still, since that is their point."""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_shows_its_point(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends without an error, and its last line is what it set out to show."""
    monkeypatch.setenv("LEAD_WEBHOOK_SECRETS", "")  # what an example sets there is taken back
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.splitlines()[-1] == EXPECTED[path.stem]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short(path: Path) -> None:
    """An example that does not fit on two screens is no example."""
    assert len(path.read_text().splitlines()) < (60 if path.stem in HOMES else 90)

"""Every example runs, without keys, and is short."""

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
    "two_programs": "wallets: received 5000",
    "aws_lambda": "{'statusCode': 401}",
}
MAX_EXAMPLES = 8
MAX_LINES = 60


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends without an error, and its last line shows what it is about."""
    monkeypatch.setenv("LEAD_WEBHOOK_SECRETS", "")  # restores what the example sets
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.splitlines()[-1] == EXPECTED[path.stem]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short(path: Path) -> None:
    """It fits on two screens."""
    assert len(path.read_text().splitlines()) < MAX_LINES


def test_there_are_few_examples() -> None:
    """A reader can open all of them, and each one is in the table of expected output."""
    assert {path.stem for path in EXAMPLES} == set(EXPECTED)
    assert len(EXAMPLES) <= MAX_EXAMPLES

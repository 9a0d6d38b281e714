"""``leadpay check``: routes, and mandatory events without a handler."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import ExitCode


def test_routes_and_missing_handlers_are_listed(
    handlers: str, exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mandatory event without a handler is exit code 1."""
    assert exit_code_of("check", f"{handlers}:router") == 1
    out = capsys.readouterr().out
    assert f"instant_payment.posted  {handlers}:credit  [direction=incoming]" in out
    assert "MISSING: instant_payment.return_request_response_needed (incoming) is mandatory" in out


def test_a_complete_router_is_exit_code_0(
    handlers: str, exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    """The handler of all other events is listed as ``(unhandled)``."""
    assert exit_code_of("check", f"{handlers}:complete") == 0
    out = capsys.readouterr().out
    assert "(unhandled)" in out
    assert "MISSING" not in out


def test_json_has_routes_and_missing_handlers(
    handlers: str, exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is the same."""
    assert exit_code_of("check", f"{handlers}:router", "--json") == 1
    data = json.loads(capsys.readouterr().out)
    assert data["missing"] == ["instant_payment.return_request_response_needed"]
    assert data["routes"] == [
        {
            "handler": f"{handlers}:credit",
            "router": handlers,
            "events": ["instant_payment.posted"],
            "filters": "direction=incoming",
            "retries": None,
            "timeout": None,
        }
    ]


def test_a_wrong_path_is_one_line(handlers: str, exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    """It is exit code 2."""
    assert exit_code_of("check", f"{handlers}:missing") == 2
    assert capsys.readouterr().err == f"leadpay: {handlers}:missing: is not a WebhookRouter\n"


EXAMINED = """
from leadpay import Context, InstantPaymentEvent, WebhookRouter

router = WebhookRouter()
sent = []

def observe():
    return list(sent)

def prepare(connection):
    connection.execute("CREATE TABLE credits (payment_id TEXT, cents INTEGER)")

@router.rejected(direction="incoming")
async def credit(event: InstantPaymentEvent, context: Context) -> None:
    print("canary")
    await context.transaction.execute("INSERT INTO credits VALUES (?, ?)", (event.payment.id, event.payment.amount))

broken = WebhookRouter()

@broken.on("instant_payment.*", mandatory=True)
async def notify(event) -> None:
    sent.append(event.id)
"""


@pytest.fixture
def examined(handlers: str, tmp_path: Path) -> str:
    """Write another module, and give its name."""
    name = f"examined_{handlers}"
    (tmp_path / f"{name}.py").write_text(EXAMINED)
    return name


def test_handlers_are_examined(examined: str, exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    """A sound handler passes on tables of one's own; what handlers print is not shown."""
    options = ("--exam", "--prepare", f"{examined}:prepare", "--observe", f"{examined}:observe")
    assert exit_code_of("check", f"{examined}:router", *options) == 1  # mandatory events have no handler
    out = capsys.readouterr().out
    assert "1 handlers examined in " in out
    assert out.endswith(": nothing is wrong\n")
    assert "canary" not in out
    assert exit_code_of("check", f"{examined}:broken", *options) == 1
    out = capsys.readouterr().out
    assert f"NOT_IDEMPOTENT: {examined}:notify" in out
    assert "each crashes before its commit, and runs again" in out
    assert "1 findings" in out


def test_the_result_of_an_exam_is_json(
    examined: str, exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the sequence that shows each finding."""
    assert exit_code_of("check", f"{examined}:broken", "--exam", "--observe", f"{examined}:observe", "--json") == 1
    data = json.loads(capsys.readouterr().out)
    assert data["missing"] == []
    assert [one["kind"] for one in data["exam"]["findings"]] == ["not_idempotent"]
    assert exit_code_of("check", f"{examined}:broken", "--exam", "--json") == 0


@pytest.mark.parametrize("options", [("--observe", "{}:observe"), ("--exam", "--observe", "{}:sent")])
def test_a_wrong_option_is_exit_code_2(options: tuple[str, ...], examined: str, exit_code_of: ExitCode) -> None:
    """An observation without an exam, and what is no function."""
    assert exit_code_of("check", f"{examined}:router", *(one.format(examined) for one in options)) == 2

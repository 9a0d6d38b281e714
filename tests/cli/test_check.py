"""``leadpay check``: routes, and mandatory events without a handler."""

import json

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

"""Fixtures: run a command in this process, and environments for it."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from leadpay.cli import app, run
from tests.support.scene import Scene

Invoke = Callable[..., Awaitable[Any]]
ExitCode = Callable[..., object]

HANDLERS = """
from leadpay import InstantPaymentEvent, WebhookRouter

router = WebhookRouter()
other = "not a router"

@router.posted(direction="incoming")
async def credit(event: InstantPaymentEvent) -> None: ...

complete = WebhookRouter()

@complete.on("instant_payment.*", mandatory=True)
async def everything(event) -> None: ...

@complete.unhandled
async def rest(event) -> None: ...
"""


@pytest.fixture
def invoke() -> Invoke:
    """Run a command in the event loop of the test."""

    async def call(*arguments: str) -> Any:
        command, bound, *_ = app.parse_args(list(arguments))
        return await command(*bound.args, **bound.kwargs)

    return call


@pytest.fixture
def exit_code_of() -> ExitCode:
    """Run a command outside of an event loop, as the console script does, and return its exit code."""

    def call(*arguments: str) -> object:
        with pytest.raises(SystemExit) as exit_info:
            run(arguments)
        return exit_info.value.code

    return call


@pytest.fixture
def online(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Set the environment so that commands call the simulated bank."""
    monkeypatch.setenv("LEAD_BASE_URL", scene.bank.url)
    monkeypatch.setenv("LEAD_CLIENT_ID", scene.bank.client_id)
    monkeypatch.setenv("LEAD_CLIENT_SECRET", scene.bank.client_secret)
    monkeypatch.setenv("LEAD_WEBHOOK_SECRETS", scene.bank.webhook_secret)
    return scene


@pytest.fixture
def inbox_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set LEAD_INBOX to a file that does not exist yet."""
    url = f"sqlite:///{tmp_path / 'inbox.db'}"
    monkeypatch.setenv("LEAD_INBOX", url)
    return url


@pytest.fixture
def handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a module with routers into the current folder, and return its name."""
    name = f"handlers_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(HANDLERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    return name

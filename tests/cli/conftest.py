"""A command in the test's own event loop, and the environment of a bank that runs there."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from leadpay.cli import app
from tests.support.scene import Scene

Invoke = Callable[..., Awaitable[Any]]


@pytest.fixture
def invoke() -> Invoke:
    async def call(*arguments: str) -> Any:
        command, bound, *_ = app.parse_args(list(arguments))
        return await command(*bound.args, **bound.kwargs)

    return call


@pytest.fixture
def online(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Let the commands find the bank."""
    monkeypatch.setenv("LEAD_BASE_URL", scene.bank.url)
    monkeypatch.setenv("LEAD_CLIENT_ID", scene.bank.client_id)
    monkeypatch.setenv("LEAD_CLIENT_SECRET", scene.bank.client_secret)
    monkeypatch.setenv("LEAD_WEBHOOK_SECRETS", scene.bank.webhook_secret)
    return scene

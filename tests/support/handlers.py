"""Handlers for tests that only look at which of them are selected."""

from typing import Any


def named(name: str) -> Any:
    """Make a handler with a name."""

    async def handler(event: Any) -> None: ...

    handler.__qualname__ = name
    return handler

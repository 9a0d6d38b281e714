"""Import the user's router, and functions of the user's, from ``MODULE:NAME``."""

import importlib
import sys
from collections.abc import Callable
from typing import Any, cast

from leadpay.errors import ConfigurationError
from leadpay.webhooks.router import WebhookRouter


def import_object(path: str) -> Any:
    """Import something from a module; None if it has no such name. Modules in the current folder are found too.

    Args:
        path: Such as ``handlers:router``.

    Raises:
        ConfigurationError: there is no such module.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise ConfigurationError(f"{path}: must be MODULE:NAME, such as handlers:router")
    sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ConfigurationError(f"{module}: no module of this name was found") from None
    return found


def import_router(path: str) -> WebhookRouter:
    """Import a router.

    Raises:
        ConfigurationError: there is no such router.
    """
    router = import_object(path)
    if not isinstance(router, WebhookRouter):
        raise ConfigurationError(f"{path}: is not a WebhookRouter")
    return router


def import_function(path: str) -> Callable[..., Any]:
    """Import a function.

    Raises:
        ConfigurationError: there is no such function.
    """
    function = import_object(path)
    if not callable(function):
        raise ConfigurationError(f"{path}: is not a function")
    return cast("Callable[..., Any]", function)

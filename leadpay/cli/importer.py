"""Import the user's router from ``MODULE:NAME``."""

import importlib
import sys

from leadpay.errors import ConfigurationError
from leadpay.webhooks.router import WebhookRouter


def import_router(path: str) -> WebhookRouter:
    """Import a router. Modules in the current folder are found too.

    Args:
        path: Such as ``handlers:router``.

    Raises:
        ConfigurationError: there is no such router.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise ConfigurationError(f"{path}: must be MODULE:NAME, such as handlers:router")
    sys.path.insert(0, "")
    try:
        router = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ConfigurationError(f"{module}: no module of this name was found") from None
    if not isinstance(router, WebhookRouter):
        raise ConfigurationError(f"{path}: is not a WebhookRouter")
    return router

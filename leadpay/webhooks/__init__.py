"""Hearing the bank: verify, parse, route, handle.

The names below are found when they are first used, so that ``from leadpay.webhooks import verify`` stays small.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from leadpay.webhooks.context import Context as Context
    from leadpay.webhooks.context import Defer as Defer
    from leadpay.webhooks.context import Discard as Discard
    from leadpay.webhooks.event import parse as parse
    from leadpay.webhooks.plugins import Plugin as Plugin
    from leadpay.webhooks.plugins import load_plugins as load_plugins
    from leadpay.webhooks.receiver import WebhookReceiver as WebhookReceiver
    from leadpay.webhooks.router import WebhookRouter as WebhookRouter
    from leadpay.webhooks.signature import HEADER as HEADER
    from leadpay.webhooks.signature import Verified as Verified
    from leadpay.webhooks.signature import Verifier as Verifier
    from leadpay.webhooks.signature import sign as sign
    from leadpay.webhooks.signature import verify as verify

_HOMES: Final[dict[str, str]] = {
    "Context": "context",
    "Defer": "context",
    "Discard": "context",
    "HEADER": "signature",
    "Plugin": "plugins",
    "Verified": "signature",
    "Verifier": "signature",
    "WebhookReceiver": "receiver",
    "WebhookRouter": "router",
    "load_plugins": "plugins",
    "parse": "event",
    "sign": "signature",
    "verify": "signature",
}

__all__ = [  # noqa: RUF022 - sorted as the rest of the package sorts, and checked by a test
    "Context",
    "Defer",
    "Discard",
    "HEADER",
    "Plugin",
    "Verified",
    "Verifier",
    "WebhookReceiver",
    "WebhookRouter",
    "load_plugins",
    "parse",
    "sign",
    "verify",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return __all__

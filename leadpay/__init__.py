"""Lead Bank's instant payments, asynchronously: a client that never pays twice, and webhooks that are never lost.

The names below are found when they are first used (PEP 562), so that importing one of them stays cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from leadpay.client import LeadClient as LeadClient
    from leadpay.client.pages import Page as Page
    from leadpay.client.retry import RetryPolicy as RetryPolicy
    from leadpay.config import Credentials as Credentials
    from leadpay.config import Settings as Settings
    from leadpay.config import Timeouts as Timeouts
    from leadpay.converter import structure as structure
    from leadpay.converter import unstructure as unstructure

__version__ = "0.1.0"

_HOMES: Final[dict[str, str]] = {}


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'leadpay' has no attribute {name!r}") from None
    value = globals()[name] = getattr(import_module(home), name)
    return value

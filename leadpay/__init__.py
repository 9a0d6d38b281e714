"""Lead Bank's instant payments, asynchronously: a client that never pays twice, and webhooks that are never lost.

The public names are listed in ``__init__.pyi``. Each is imported when it is first used, so that importing one of them
does not import everything.
"""

from leadpay.lazy import attach_stub

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

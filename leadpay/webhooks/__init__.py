"""Webhooks: verify, parse, route, handle.

The public names are listed in ``__init__.pyi``. Each is imported when it is first used, so that
``from leadpay.webhooks import verify`` stays small.
"""

from leadpay.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

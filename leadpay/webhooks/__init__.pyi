# The public names, for type checkers and for leadpay/lazy.py. To add a name, add its line here.

from leadpay.webhooks.context import Context as Context
from leadpay.webhooks.context import Defer as Defer
from leadpay.webhooks.context import Discard as Discard
from leadpay.webhooks.dispatcher import HandlerResult as HandlerResult
from leadpay.webhooks.dispatcher import Outcome as Outcome
from leadpay.webhooks.event import UnreadableWebhook as UnreadableWebhook
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

__all__: list[str]  # noqa: PYI035 - made of the lines above at run time

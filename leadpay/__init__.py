"""Lead Bank's instant payments, asynchronously: a client that never pays twice, and webhooks that are never lost.

The names below are found when they are first used (PEP 562), so that importing one of them stays cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from leadpay.client import LeadClient as LeadClient
    from leadpay.client.pagination import Page as Page
    from leadpay.client.retry import RetryPolicy as RetryPolicy
    from leadpay.clock import Clock as Clock
    from leadpay.clock import SystemClock as SystemClock
    from leadpay.config import Credentials as Credentials
    from leadpay.config import Settings as Settings
    from leadpay.config import Timeouts as Timeouts
    from leadpay.converter import make_converter as make_converter
    from leadpay.converter import structure as structure
    from leadpay.converter import unstructure as unstructure
    from leadpay.enums import CounterpartyStatus as CounterpartyStatus
    from leadpay.enums import CurrencyCode as CurrencyCode
    from leadpay.enums import Direction as Direction
    from leadpay.enums import EventType as EventType
    from leadpay.enums import OpenEnum as OpenEnum
    from leadpay.enums import RejectedBy as RejectedBy
    from leadpay.enums import RejectionReason as RejectionReason
    from leadpay.enums import ResolvedBy as ResolvedBy
    from leadpay.enums import ReturnReason as ReturnReason
    from leadpay.enums import ReturnRequestReason as ReturnRequestReason
    from leadpay.enums import ReturnRequestRejectionReason as ReturnRequestRejectionReason
    from leadpay.enums import ReturnRequestStatus as ReturnRequestStatus
    from leadpay.enums import Status as Status
    from leadpay.errors import APIError as APIError
    from leadpay.errors import AuthenticationError as AuthenticationError
    from leadpay.errors import BadRequestError as BadRequestError
    from leadpay.errors import ConfigurationError as ConfigurationError
    from leadpay.errors import ConflictError as ConflictError
    from leadpay.errors import InboxError as InboxError
    from leadpay.errors import InvalidParameter as InvalidParameter
    from leadpay.errors import InvalidRequestError as InvalidRequestError
    from leadpay.errors import LeadError as LeadError
    from leadpay.errors import MalformedEventError as MalformedEventError
    from leadpay.errors import MalformedResponseError as MalformedResponseError
    from leadpay.errors import NoAnswerError as NoAnswerError
    from leadpay.errors import NotFoundError as NotFoundError
    from leadpay.errors import OutcomeUnknownError as OutcomeUnknownError
    from leadpay.errors import PermissionDeniedError as PermissionDeniedError
    from leadpay.errors import Problem as Problem
    from leadpay.errors import RateLimitError as RateLimitError
    from leadpay.errors import RequestNotSentError as RequestNotSentError
    from leadpay.errors import RouterError as RouterError
    from leadpay.errors import ServerError as ServerError
    from leadpay.errors import SignatureError as SignatureError
    from leadpay.errors import UnprocessableEntityError as UnprocessableEntityError
    from leadpay.errors import WebhookError as WebhookError
    from leadpay.inbox import open_inbox as open_inbox
    from leadpay.models import AccessToken as AccessToken
    from leadpay.models import Agent as Agent
    from leadpay.models import Availability as Availability
    from leadpay.models import Cents as Cents
    from leadpay.models import Event as Event
    from leadpay.models import InstantPayment as InstantPayment
    from leadpay.models import InstantPaymentEvent as InstantPaymentEvent
    from leadpay.models import Party as Party
    from leadpay.models import PaymentIdentifiers as PaymentIdentifiers
    from leadpay.models import Rejection as Rejection
    from leadpay.models import RelatedObjects as RelatedObjects
    from leadpay.models import Return as Return
    from leadpay.models import ReturnRequest as ReturnRequest
    from leadpay.models import ReturnRequestResolution as ReturnRequestResolution
    from leadpay.models import cents as cents
    from leadpay.webhooks.context import Context as Context
    from leadpay.webhooks.context import Defer as Defer
    from leadpay.webhooks.context import Discard as Discard
    from leadpay.webhooks.plugins import Plugin as Plugin
    from leadpay.webhooks.plugins import load_plugins as load_plugins
    from leadpay.webhooks.receiver import WebhookReceiver as WebhookReceiver
    from leadpay.webhooks.router import WebhookRouter as WebhookRouter

__version__ = "0.1.0"

_HOMES: Final[dict[str, str]] = {
    "APIError": "leadpay.errors",
    "AccessToken": "leadpay.models",
    "Agent": "leadpay.models",
    "AuthenticationError": "leadpay.errors",
    "Availability": "leadpay.models",
    "BadRequestError": "leadpay.errors",
    "Cents": "leadpay.models",
    "Clock": "leadpay.clock",
    "ConfigurationError": "leadpay.errors",
    "ConflictError": "leadpay.errors",
    "Context": "leadpay.webhooks.context",
    "CounterpartyStatus": "leadpay.enums",
    "Credentials": "leadpay.config",
    "CurrencyCode": "leadpay.enums",
    "Defer": "leadpay.webhooks.context",
    "Direction": "leadpay.enums",
    "Discard": "leadpay.webhooks.context",
    "Event": "leadpay.models",
    "EventType": "leadpay.enums",
    "InboxError": "leadpay.errors",
    "InstantPayment": "leadpay.models",
    "InstantPaymentEvent": "leadpay.models",
    "InvalidParameter": "leadpay.errors",
    "InvalidRequestError": "leadpay.errors",
    "LeadClient": "leadpay.client",
    "LeadError": "leadpay.errors",
    "MalformedEventError": "leadpay.errors",
    "MalformedResponseError": "leadpay.errors",
    "NoAnswerError": "leadpay.errors",
    "NotFoundError": "leadpay.errors",
    "OpenEnum": "leadpay.enums",
    "OutcomeUnknownError": "leadpay.errors",
    "Page": "leadpay.client.pagination",
    "Party": "leadpay.models",
    "PaymentIdentifiers": "leadpay.models",
    "PermissionDeniedError": "leadpay.errors",
    "Plugin": "leadpay.webhooks.plugins",
    "Problem": "leadpay.errors",
    "RateLimitError": "leadpay.errors",
    "RejectedBy": "leadpay.enums",
    "Rejection": "leadpay.models",
    "RejectionReason": "leadpay.enums",
    "RelatedObjects": "leadpay.models",
    "RequestNotSentError": "leadpay.errors",
    "ResolvedBy": "leadpay.enums",
    "RetryPolicy": "leadpay.client.retry",
    "Return": "leadpay.models",
    "ReturnReason": "leadpay.enums",
    "ReturnRequest": "leadpay.models",
    "ReturnRequestReason": "leadpay.enums",
    "ReturnRequestRejectionReason": "leadpay.enums",
    "ReturnRequestResolution": "leadpay.models",
    "ReturnRequestStatus": "leadpay.enums",
    "RouterError": "leadpay.errors",
    "ServerError": "leadpay.errors",
    "Settings": "leadpay.config",
    "SignatureError": "leadpay.errors",
    "Status": "leadpay.enums",
    "SystemClock": "leadpay.clock",
    "Timeouts": "leadpay.config",
    "UnprocessableEntityError": "leadpay.errors",
    "WebhookError": "leadpay.errors",
    "WebhookReceiver": "leadpay.webhooks.receiver",
    "WebhookRouter": "leadpay.webhooks.router",
    "cents": "leadpay.models",
    "load_plugins": "leadpay.webhooks.plugins",
    "make_converter": "leadpay.converter",
    "open_inbox": "leadpay.inbox",
    "structure": "leadpay.converter",
    "unstructure": "leadpay.converter",
}

__all__ = [
    "APIError",
    "AccessToken",
    "Agent",
    "AuthenticationError",
    "Availability",
    "BadRequestError",
    "Cents",
    "Clock",
    "ConfigurationError",
    "ConflictError",
    "Context",
    "CounterpartyStatus",
    "Credentials",
    "CurrencyCode",
    "Defer",
    "Direction",
    "Discard",
    "Event",
    "EventType",
    "InboxError",
    "InstantPayment",
    "InstantPaymentEvent",
    "InvalidParameter",
    "InvalidRequestError",
    "LeadClient",
    "LeadError",
    "MalformedEventError",
    "MalformedResponseError",
    "NoAnswerError",
    "NotFoundError",
    "OpenEnum",
    "OutcomeUnknownError",
    "Page",
    "Party",
    "PaymentIdentifiers",
    "PermissionDeniedError",
    "Plugin",
    "Problem",
    "RateLimitError",
    "RejectedBy",
    "Rejection",
    "RejectionReason",
    "RelatedObjects",
    "RequestNotSentError",
    "ResolvedBy",
    "RetryPolicy",
    "Return",
    "ReturnReason",
    "ReturnRequest",
    "ReturnRequestReason",
    "ReturnRequestRejectionReason",
    "ReturnRequestResolution",
    "ReturnRequestStatus",
    "RouterError",
    "ServerError",
    "Settings",
    "SignatureError",
    "Status",
    "SystemClock",
    "Timeouts",
    "UnprocessableEntityError",
    "WebhookError",
    "WebhookReceiver",
    "WebhookRouter",
    "cents",
    "load_plugins",
    "make_converter",
    "open_inbox",
    "structure",
    "unstructure",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return __all__

"""Those who receive webhooks: each signs in its own way, verifies, reads, finds a handler and awaits it."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

import orjson

from benchmarks.samples import EVENT_TYPE, SECRET, event

Headers: TypeAlias = dict[str, str]


class Receiver(NamedTuple):
    """One way to receive a webhook."""

    name: str
    body: Callable[[int], bytes]
    sign: Callable[[bytes], Headers]
    receive: Callable[[bytes, Mapping[str, str]], Awaitable[Any]]


def _body(number: int) -> bytes:
    return orjson.dumps(event(number))


async def _handle(_: Any) -> None:
    """Do nothing: what is measured is the way here."""


def _lead_header(body: bytes) -> Headers:
    now = str(time.time_ns() // 1_000_000)
    digest = hmac.digest(SECRET.encode(), f"{now}.".encode() + body, "sha256")
    return {"Lead-Signature": f"t={now},v0={base64.b64encode(digest).decode()}"}


def bare() -> Receiver:
    """The floor: what anything that receives has to do."""
    key = SECRET.encode()

    async def receive(body: bytes, headers: Mapping[str, str]) -> None:
        hmac.digest(key, headers["Lead-Signature"][2:15].encode() + b"." + body, "sha256")
        orjson.loads(body)

    return Receiver("hmac.digest + orjson.loads", _body, _lead_header, receive)


def leadpay() -> Receiver:
    """Ours, by its parts, as the receiver uses them."""
    from leadpay.models import InstantPaymentEvent
    from leadpay.webhooks.context import Context
    from leadpay.webhooks.dispatcher import Dispatcher
    from leadpay.webhooks.event import parse
    from leadpay.webhooks.router import WebhookRouter
    from leadpay.webhooks.signature import Verifier

    router = WebhookRouter("benchmark")

    @router.return_request_response_needed(direction="incoming")
    async def handle(_: InstantPaymentEvent) -> None: ...

    verifier, dispatcher = Verifier(SECRET), Dispatcher(router)

    async def receive(body: bytes, headers: Mapping[str, str]) -> None:
        now = time.time()
        verifier.verify(body, headers["Lead-Signature"], now_ms=int(now * 1000))
        one = parse(body)
        await dispatcher.dispatch(one, lambda: Context(event=one, received_at=datetime.fromtimestamp(now, UTC)))

    return Receiver("leadpay", _body, _lead_header, receive)


def leadpay_receive() -> Receiver:
    """Ours, whole: with limits, counts and duplicates too."""
    from leadpay.models import InstantPaymentEvent
    from leadpay.webhooks.receiver import WebhookReceiver
    from leadpay.webhooks.router import WebhookRouter

    router = WebhookRouter("benchmark")

    @router.return_request_response_needed(direction="incoming")
    async def handle(_: InstantPaymentEvent) -> None: ...

    receiver = WebhookReceiver(router, secrets=SECRET)

    async def receive(body: bytes, headers: Mapping[str, str]) -> None:
        await receiver.receive(body=body, headers=headers)

    return Receiver("leadpay, receive()", _body, _lead_header, receive)


def gidgethub() -> Receiver:
    """GitHub's: verifies and dispatches; the payload stays a dict."""
    from gidgethub import sansio
    from gidgethub.routing import Router

    router = Router()
    router.add(_handle, "push")

    def sign(body: bytes) -> Headers:
        digest = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
        return {
            "content-type": "application/json",
            "x-github-event": "push",
            "x-github-delivery": "1",
            "x-hub-signature-256": f"sha256={digest}",
        }

    async def receive(body: bytes, headers: Mapping[str, str]) -> None:
        await router.dispatch(sansio.Event.from_http(headers, body, secret=SECRET))

    return Receiver("gidgethub (a dict)", _body, sign, receive)


def _standard_headers(key: bytes) -> Callable[[bytes], Headers]:
    def sign(body: bytes) -> Headers:
        now = str(int(time.time()))
        digest = hmac.digest(key, f"msg_1.{now}.".encode() + body, "sha256")
        return {
            "webhook-id": "msg_1",
            "webhook-timestamp": now,
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }

    return sign


def standardwebhooks() -> Receiver:
    """The standard's: verifies and reads JSON; no types, no dispatch."""
    from standardwebhooks import Webhook

    webhook = Webhook(base64.b64encode(SECRET.encode()).decode())

    async def receive(body: bytes, headers: Mapping[str, str]) -> None:
        await _handle(webhook.verify(body, dict(headers)))

    return Receiver("standardwebhooks (verify and json)", _body, _standard_headers(SECRET.encode()), receive)


def svix() -> Receiver:
    """Svix's: verifies, and gives nothing back, so that the JSON is read beside it; no types, no dispatch."""
    from svix.webhooks import Webhook

    webhook = Webhook(base64.b64encode(SECRET.encode()).decode())

    async def receive(body: bytes, headers: Mapping[str, str]) -> None:
        webhook.verify(body, dict(headers))
        await _handle(json.loads(body))

    return Receiver("svix (verify and json)", _body, _standard_headers(SECRET.encode()), receive)


def stock_cattrs() -> Receiver:
    """The same models, read by a cattrs converter as it comes, after the floor's own work."""
    from cattrs.preconf.orjson import make_converter

    from leadpay.models import InstantPaymentEvent

    converter, key, handlers = make_converter(detailed_validation=False), SECRET.encode(), {EVENT_TYPE: _handle}

    async def receive(body: bytes, headers: Mapping[str, str]) -> None:
        start, _, signature = headers["Lead-Signature"].partition(",v0=")
        digest = hmac.digest(key, start[2:].encode() + b"." + body, "sha256")
        if not hmac.compare_digest(base64.b64encode(digest), signature.encode()):
            raise ValueError
        one = converter.structure(orjson.loads(body), InstantPaymentEvent)
        await handlers[one.type](one)

    return Receiver("stock cattrs", _body, _lead_header, receive)


def increase() -> Receiver:
    """Increase's: verifies, makes its event and, of the object, its transfer."""
    from increase import Increase
    from increase._models import construct_type
    from increase.types import RealTimePaymentsTransfer

    client: Any = Increase(api_key="key", webhook_secret=SECRET)

    async def receive(body: bytes, headers: Mapping[str, str]) -> None:
        one = client.events.unwrap(body, headers=dict(headers))
        await _handle(construct_type(type_=RealTimePaymentsTransfer, value=one.object))

    return Receiver("Increase", _body, _standard_headers(SECRET.encode()), receive)


def modern_treasury() -> Receiver:
    """Modern Treasury's: verifies, and of the object makes its payment order."""
    from modern_treasury import ModernTreasury
    from modern_treasury._models import construct_type
    from modern_treasury.types import PaymentOrder

    client = ModernTreasury(api_key="key", organization_id="org", webhook_key=SECRET)

    def sign(body: bytes) -> Headers:
        return {"X-Signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}

    async def receive(body: bytes, headers: Mapping[str, str]) -> None:
        text = body.decode()
        if not client.webhooks.validate_signature(text, headers):
            raise ValueError
        await _handle(construct_type(type_=PaymentOrder, value=json.loads(text)["object"]))

    return Receiver("Modern Treasury", _body, sign, receive)


def stripe() -> Receiver:
    """Stripe's: verifies, and makes its objects all the way down."""
    import stripe as library

    client = library.StripeClient("sk_test")

    def body(number: int) -> bytes:
        data = event(number)
        payment = {**data.pop("object"), "object": "payout"}
        return orjson.dumps({**data, "object": "event", "type": "payout.paid", "data": {"object": payment}})

    def sign(raw: bytes) -> Headers:
        now = int(time.time())
        digest = hmac.new(SECRET.encode(), f"{now}.".encode() + raw, hashlib.sha256).hexdigest()
        return {"Stripe-Signature": f"t={now},v1={digest}"}

    async def receive(raw: bytes, headers: Mapping[str, str]) -> None:
        await _handle(client.construct_event(raw, headers["Stripe-Signature"], SECRET))

    return Receiver("Stripe", body, sign, receive)


OURS = (leadpay, leadpay_receive)
PEERS = (gidgethub, standardwebhooks, svix, stock_cattrs, increase, modern_treasury, stripe)


def present(makers: tuple[Callable[[], Receiver], ...]) -> Iterator[Receiver]:
    """Make those whose library is installed, and let each receive one webhook, to see that it does."""
    for make in makers:
        try:
            one = make()
        except ImportError:
            continue
        body = one.body(0)
        headers = one.sign(body)

        async def try_it(one: Receiver = one, body: bytes = body, headers: Headers = headers) -> None:
            await one.receive(body, headers)

        asyncio.run(try_it())
        yield one

"""What an observer is told of webhooks and handlers."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from leadpay.instrumentation import HandlerEnded, HandlerStarted, Observation, WebhookReceived
from leadpay.webhooks.context import Defer, Discard
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter

SECRET = "whsec_current"
Body = Callable[..., bytes]
Signed = Callable[..., dict[str, str]]
PAYMENT = "instant_payment_in_1"


def router_of(*errors: BaseException | None) -> WebhookRouter:
    """A handler for each error, which raises it."""
    router = WebhookRouter("told")

    def register(number: int, error: BaseException | None) -> None:
        async def handler(event: Any) -> None:
            if error is not None:
                raise error

        handler.__qualname__ = f"handler_{number}"
        router.posted(handler)

    for number, error in enumerate(errors):
        register(number, error)
    return router


@pytest.mark.asyncio
async def test_a_webhook_is_told_with_all_its_handlers(clock: Any, make_body: Body, signed: Signed) -> None:
    """Each start and end, with the class of an error alone, and then what the bank was answered."""
    facts: list[Observation] = []
    router = router_of(None, ValueError("canary"), Defer(1), Discard("canary"))
    receiver = WebhookReceiver(router, secrets=SECRET, clock=clock, observer=facts.append)
    body = make_body()
    assert await receiver.receive(body=body, headers=signed(body)) == 500
    assert [type(fact) for fact in facts] == [*[HandlerStarted, HandlerEnded] * 4, WebhookReceived]
    ends = [fact for fact in facts if isinstance(fact, HandlerEnded)]
    assert [(one.status, one.error) for one in ends] == [
        ("succeeded", None),
        ("failed", "ValueError"),
        ("deferred", None),
        ("discarded", None),
    ]
    assert all(one.started is start for one, start in zip(ends, facts[:8:2], strict=True))
    assert (ends[0].started.event_id, ends[0].started.event_type) == ("event_1", "instant_payment.posted")
    told = facts[-1]
    assert isinstance(told, WebhookReceived)
    assert told[:5] == (500, "failed", "event_1", "instant_payment.posted", ends[0].started.payment_id)
    assert "canary" not in repr(facts)


@pytest.mark.asyncio
async def test_refusals_are_told_by_reason(clock: Any, make_body: Body, signed: Signed) -> None:
    """Nothing is known of an event that is not authentic, and nothing of one that cannot be read."""
    facts: list[Observation] = []
    receiver = WebhookReceiver(router_of(), secrets=SECRET, clock=clock, observer=facts.append)
    for headers, body in (({}, b"{}"), (signed(b"{}"), b"{}"), (signed(b""), make_body())):
        await receiver.receive(body=body, headers=headers)
    assert receiver.refuse(403, "address", "a stranger") == 403
    assert [(fact.status, fact.result, fact.event_id) for fact in facts if isinstance(fact, WebhookReceived)] == [
        (401, "missing_header", None),
        (400, "malformed", None),
        (401, "mismatch", None),
        (403, "address", None),
    ]


@pytest.mark.asyncio
async def test_a_handler_that_is_cancelled_is_told_too(clock: Any, make_body: Body, signed: Signed) -> None:
    """Whoever opened something at the start can close it."""
    facts: list[Observation] = []
    started = asyncio.Event()
    router = WebhookRouter("told")

    @router.posted
    async def hang(event: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    receiver = WebhookReceiver(router, secrets=SECRET, clock=clock, observer=facts.append)
    body = make_body()
    task = asyncio.create_task(receiver.receive(body=body, headers=signed(body)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ended = facts[-1]
    assert isinstance(ended, HandlerEnded)
    assert (ended.status, ended.error) == ("cancelled", "CancelledError")

"""A dispatcher that tells an observer of each handler."""

import asyncio
from time import perf_counter

from leadpay.instrumentation import HandlerEnded, HandlerStarted, Observer, notify
from leadpay.models import Event
from leadpay.webhooks.dispatcher import Dispatcher, LazyContext, made
from leadpay.webhooks.outcome import HandlerResult, Outcome
from leadpay.webhooks.route import Route
from leadpay.webhooks.router import WebhookRouter


class ObservedDispatcher(Dispatcher):
    """Runs handlers, and tells of them."""

    def __init__(self, router: WebhookRouter, *, timeout: float | None = None, observer: Observer) -> None:
        super().__init__(router, timeout=timeout)
        self.observer = observer

    async def dispatch(self, event: Event, context: LazyContext) -> Outcome:
        """Run all handlers that take the event, each by ``run``."""
        return await self._run_each(self.select(event), event, made(context))

    async def run(self, route: Route, event: Event, context: LazyContext) -> HandlerResult:
        """Run one handler; whatever it raises becomes its result."""
        context = made(context)
        started = HandlerStarted(
            route.name, event.id, str(event.type), event.payment_id, context.attempt, context.received_at
        )
        notify(self.observer, started)
        start = perf_counter()
        try:
            result = await super().run(route, event, context)
        except asyncio.CancelledError as error:
            notify(self.observer, HandlerEnded(started, "cancelled", type(error).__name__, perf_counter() - start))
            raise
        error_name = type(result.error).__name__ if result.status == "failed" else None
        notify(self.observer, HandlerEnded(started, result.status, error_name, perf_counter() - start))
        return result

"""Metrics for Prometheus; needs the extra: ``pip install 'leadpay[metrics]'``.

One object observes a client, a receiver, a worker and a sender together. Its metrics are those of OpenTelemetry, under
the names that OpenTelemetry's exporter for Prometheus gives them::

    metrics = Metrics(router)
    lead = LeadClient.from_env(observer=metrics)
    receiver = WebhookReceiver(router, secrets=..., observer=metrics)
    mount_metrics(app, metrics)

Every series whose labels are known beforehand is there at zero from the start: Prometheus does not notice the first
increase of a series that appears with it. The labels of durations, of servers and of secrets are not known beforehand.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Final, TypeAlias

from leadpay.clock import Clock, SystemClock
from leadpay.enums import EventType
from leadpay.instrumentation import Observation
from leadpay.measurements import DURATIONS, INSTRUMENTS, OTHER, Attributes, Instrument, handler_attributes, measure
from leadpay.webhooks.router import WebhookRouter

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
    from prometheus_client.exposition import CONTENT_TYPE_LATEST
except ImportError:
    raise ImportError(
        "leadpay.metrics needs an extra: pip install 'leadpay[metrics]'", name="prometheus_client"
    ) from None

Collector: TypeAlias = Counter | Gauge | Histogram

_COLLECTORS: Final[dict[str, Callable[..., Collector]]] = {
    "counter": Counter,
    "gauge": Gauge,
    "histogram": partial(Histogram, buckets=DURATIONS),
}


class Metrics:
    """An observer that counts and measures for Prometheus; see the module's docstring.

    Args:
        routers: the routers whose handlers' dead letters and pauses are to be there at zero from the start.
        registry: where the metrics are registered; one of its own if left out.
        clock: the source of the time.
    """

    content_type: str = CONTENT_TYPE_LATEST
    """Of what :meth:`render` returns."""

    def __init__(
        self, *routers: WebhookRouter, registry: CollectorRegistry | None = None, clock: Clock | None = None
    ) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._clock = clock or SystemClock()
        self._collectors = {name: self._make(one) for name, one in INSTRUMENTS.items()}
        for name, one in INSTRUMENTS.items():
            if one.attributes and all(one.attributes.values()):
                for values in product(*one.attributes.values()):
                    self._collectors[name].labels(*values)
        for router in routers:
            self._expect(router)

    def __call__(self, observation: Observation) -> None:
        """Count and measure an observation."""
        for name, value, attributes in measure(observation, self._clock.now()):
            collector = self._collector(name, attributes)
            if isinstance(collector, Counter):
                collector.inc(value)
            elif isinstance(collector, Gauge):
                collector.set(value)
            else:
                collector.observe(value)

    def render(self) -> bytes:
        """Write all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _make(self, one: Instrument) -> Collector:
        unit = "seconds" if one.unit == "s" else ""
        name = "_".join([one.name.replace(".", "_"), *([unit] if unit else [])])
        labels = [attribute.replace(".", "_") for attribute in one.attributes]
        return _COLLECTORS[one.kind](name, one.description, labels, registry=self.registry)

    def _collector(self, name: str, attributes: Attributes) -> Collector:
        names = INSTRUMENTS[name].attributes
        collector = self._collectors[name]
        return collector.labels(*(str(attributes.get(one, "")) for one in names)) if names else collector

    def _expect(self, router: WebhookRouter) -> None:
        for route in router.routes():
            self._collector("lead.handler.paused", handler_attributes("", route.name))
            types = [str(one) for one in EventType if route.is_fallback or route.takes_type(one)]
            for event_type in [*types, OTHER]:
                self._collector("lead.inbox.dead_letters", handler_attributes(event_type, route.name))

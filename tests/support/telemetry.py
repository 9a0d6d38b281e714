"""A Telemetry, and the spans and metrics that it recorded."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from leadpay.otel import Telemetry


class RecordedTelemetry:
    """OpenTelemetry's SDK with everything kept in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader])
        self.telemetry = self.new()

    def new(self, **settings: Any) -> Telemetry:
        """Make a Telemetry."""
        return Telemetry(tracer_provider=self.tracers, meter_provider=self.meters, **settings)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those that ended, in the order of their ends."""
        return list(self.exporter.get_finished_spans())

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [span.name for span in self.spans]

    def span(self, name: str, number: int = 0) -> ReadableSpan:
        """Find one by its name."""
        return [span for span in self.spans if span.name == name][number]

    def points(self) -> dict[str, list[tuple[Any, dict[str, Any]]]]:
        """Every metric with its values (of a histogram: how many) and their attributes."""
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        metrics = data.resource_metrics[0].scope_metrics[0].metrics
        return {
            metric.name: [
                (getattr(point, "value", getattr(point, "count", None)), dict(point.attributes or {}))
                for point in metric.data.data_points
            ]
            for metric in metrics
        }

    def close(self) -> None:
        """Shut down."""
        self.tracers.shutdown()
        self.meters.shutdown()


@pytest.fixture
def recorded() -> Iterator[RecordedTelemetry]:
    made = RecordedTelemetry()
    yield made
    made.close()

"""Every test of this folder runs inside a leak detector."""

import logging
from collections.abc import Iterator

import pytest

from tests.privacy.leaks import LeakDetector
from tests.support.telemetry import RecordedTelemetry


class Collector(logging.Handler):
    """Collects log records."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        """Collect a record."""
        self.records.append(record)


@pytest.fixture
def leaks(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Iterator[LeakDetector]:
    """Check printed text, log records of every logger, observations, spans and metrics at the end of the test."""
    told = RecordedTelemetry()
    detector = LeakDetector(told)
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="leadpay")
    handler = Collector(detector.logs)
    logging.getLogger().addHandler(handler)
    yield detector
    logging.getLogger().removeHandler(handler)
    printed = capsys.readouterr()
    detector.record(stdout=printed.out, stderr=printed.err)
    found = detector.found()
    told.close()
    assert found == []

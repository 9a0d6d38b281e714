"""A net around every test of this folder."""

import logging
from collections.abc import Iterator

import pytest

from tests.privacy.net import Net
from tests.support.telemetry import RecordedTelemetry


class Collector(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)


@pytest.fixture
def net(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Iterator[Net]:
    """Everything that is printed, and logged from DEBUG on by anybody; nothing may have got out in the end."""
    told = RecordedTelemetry()
    made = Net(told)
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="leadpay")
    handler = Collector(made.logs)
    logging.getLogger().addHandler(handler)
    yield made
    logging.getLogger().removeHandler(handler)
    printed = capsys.readouterr()
    made.show(stdout=printed.out, stderr=printed.err)
    leaks = made.leaks()
    told.close()
    assert leaks == []

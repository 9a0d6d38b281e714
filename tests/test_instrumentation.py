"""Observers: they are called, and their failures affect nothing."""

import logging

import pytest

from leadpay.instrumentation import InboxMeasured, Observation, notify


def test_an_observer_is_called_with_the_observation() -> None:
    """It gets the very object."""
    seen: list[Observation] = []
    observation = InboxMeasured(1, 0, 2.5)
    notify(seen.append, observation)
    assert seen == [observation]


def test_an_observer_that_raises_is_logged_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    """The error goes no further, and its message may contain private data."""

    def fail(observation: Observation) -> None:
        raise ValueError("Gertrude")

    notify(fail, InboxMeasured(1, 0, 2.5))
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "the observer failed on InboxMeasured: ValueError")
    ]

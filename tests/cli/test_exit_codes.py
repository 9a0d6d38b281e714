"""Exit codes for errors and for webhook deliveries."""

import pytest

from leadpay.cli.exit_codes import for_delivery, for_error
from leadpay.errors import (
    AuthenticationError,
    ConfigurationError,
    LeadError,
    NoAnswerError,
    NotFoundError,
    RequestNotSentError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError(status=404), 1),
        (AuthenticationError(status=401), 2),
        (ConfigurationError("x"), 2),
        (OSError("port"), 2),
        (RequestNotSentError(), 3),
        (NoAnswerError(), 3),
    ],
)
def test_an_error_has_an_exit_code(error: LeadError | OSError, code: int) -> None:
    """Scripts can tell a negative result from a user's error, and both from a failure of the network."""
    assert for_error(error) == code


@pytest.mark.parametrize(("status", "code"), [(200, 0), (299, 0), (None, 3), (199, 1), (302, 1), (503, 1)])
def test_a_delivery_has_an_exit_code(status: int | None, code: int) -> None:
    """Only 2xx is success, and no response is a failure of the network."""
    assert for_delivery(status) == code

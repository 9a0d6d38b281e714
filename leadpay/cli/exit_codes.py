"""The exit codes of the command, which scripts rely on."""

from http import HTTPStatus
from typing import Final

from leadpay.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    LeadError,
    NotFoundError,
    RouterError,
)

OK: Final = 0

NEGATIVE: Final = 1
"""The result is no: the ID does not exist, a handler is missing, a webhook was refused."""

USER_ERROR: Final = 2
"""The user can fix it: an argument, a setting, the credentials, a port that is in use."""

REMOTE_ERROR: Final = 3
"""The bank, an endpoint or the network failed."""

DUE: Final = 4
"""A return request is due soon."""

DIFFERENCES: Final = 5
"""A day does not reconcile."""

INTERRUPTED: Final = 130
"""Ctrl-C, as shells report it. Commands that run until Ctrl-C exit with 0."""

PIPE_CLOSED: Final = 141
"""The reader of the output has closed the pipe, as shells report it."""


def for_error(error: LeadError | OSError) -> int:
    """Choose the exit code for an error."""
    if isinstance(error, NotFoundError):
        return NEGATIVE
    user_errors = (ConfigurationError, InvalidRequestError, RouterError, AuthenticationError, OSError)
    return USER_ERROR if isinstance(error, user_errors) else REMOTE_ERROR


def for_delivery(status: int | None) -> int:
    """Choose the exit code for a webhook delivery: 2xx is success, and no response is a network failure."""
    if status is None:
        return REMOTE_ERROR
    return OK if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES else NEGATIVE

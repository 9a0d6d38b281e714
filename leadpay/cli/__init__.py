"""The ``leadpay`` command: what it is made of, and how it ends."""

import asyncio
import errno
import os
import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App

from leadpay import __version__
from leadpay.cli import deliver, hear, keep, look, play, plugins
from leadpay.cli.screen import say
from leadpay.cli.statuses import FAILED, INTERRUPTED, NOT_SO, PIPE_CLOSED, USER_MISTAKE
from leadpay.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    LeadError,
    NotFoundError,
    RouterError,
)

app = App(
    name="leadpay",
    version=__version__,
    help_format="plaintext",
    help="Lead Bank's instant payments: a pretend bank, your handlers, and what the bank says.\n\n"
    "Exit status: 0 done; 1 no (not found, not handled, refused); 2 a mistake that you can mend; 3 the bank, an "
    "endpoint or the network failed.\n\n"
    "Commands that ask the bank read LEAD_CLIENT_ID, LEAD_CLIENT_SECRET, and LEAD_ENVIRONMENT or LEAD_BASE_URL.",
)
app.command(play.demo)
app.command(play.sandbox, help=play.SANDBOX_HELP)
app.command(hear.serve)
app.command(hear.check)
app.command(plugins.plugins)
app.command(deliver.trigger, help=deliver.TRIGGER_HELP)
app.command(deliver.listen)
app.command(look.payments)
app.command(look.events)
app.command(keep.inbox)
app.command(keep.backfill)


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit; a user's mistake ends in one line, not in a traceback."""
    command, bound, *_ = app.parse_args(sys.argv[1:] if arguments is None else list(arguments))
    try:
        result: Any = command(*bound.args, **bound.kwargs)
        if asyncio.iscoroutine(result):
            result = asyncio.run(result)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer has no reader, and Python would complain about it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(PIPE_CLOSED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (LeadError, OSError) as error:
        say(f"leadpay: {_reason(error)}", file=sys.stderr)
        sys.exit(status_of(error))
    sys.exit(result if isinstance(result, int) else 0)


def _reason(error: LeadError | OSError) -> str:
    """Say what is wrong and, where it isn't plain, what to do about it."""
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"{error.strerror}; choose another with --port, or 0 for any that is free"
    return str(error)


def status_of(error: LeadError | OSError) -> int:
    """Choose the exit status for an error."""
    if isinstance(error, NotFoundError):
        return NOT_SO
    mistakes = (ConfigurationError, InvalidRequestError, RouterError, AuthenticationError, OSError)
    return USER_MISTAKE if isinstance(error, mistakes) else FAILED

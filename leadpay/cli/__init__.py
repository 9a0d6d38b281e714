"""The ``leadpay`` command: its subcommands, and how errors become exit codes."""

import asyncio
import errno
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any

from cyclopts import App

from leadpay import __version__
from leadpay.cli import (
    account_numbers,
    backfill,
    check,
    console,
    demo,
    drift,
    events,
    exit_codes,
    explain,
    inbox,
    listen,
    outbox,
    pay,
    payments,
    plugins,
    reconcile,
    returns,
    sandbox,
    secrets,
    send,
    serve,
    simulate,
    trigger,
)
from leadpay.cli.options import exposed_secrets
from leadpay.cli.output import print_line
from leadpay.errors import LeadError

app = App(
    name="leadpay",
    version=__version__,
    help_format="plaintext",
    help="Send and receive Lead Bank's instant payments, and test against a simulated bank.\n\n"
    "Exit codes: 0 success; 1 a negative result (not found, not handled, refused); 2 an error that you can fix, such "
    "as a wrong option; 3 the bank, an endpoint or the network failed; 4 a return request is due soon; 5 a day does "
    "not reconcile.\n\n"
    "Commands that call the bank read LEAD_CLIENT_ID, LEAD_CLIENT_SECRET, and LEAD_ENVIRONMENT or LEAD_BASE_URL.",
)
app.command(demo.demo)
app.command(sandbox.sandbox, help=sandbox.HELP)
app.command(serve.serve)
app.command(console.console)
app.command(check.check)
app.command(plugins.plugins)
app.command(trigger.trigger, help=trigger.HELP)
app.command(simulate.simulate)
app.command(listen.listen)
app.command(payments.payments)
app.command(events.events)
app.command(drift.drift)
app.command(account_numbers.account_numbers)
app.command(explain.explain)
app.command(inbox.inbox)
app.command(send.send)
app.command(pay.pay)
app.command(outbox.outbox)
app.command(backfill.backfill)
app.command(secrets.secrets)
app.command(reconcile.reconcile)
app.command(returns.returns)
app.register_install_completion_command(help="Install completion of commands and options for your shell.")


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit. An error that the user can fix is printed as one line, without a traceback."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the bank may send what the terminal cannot show
    for warning in exposed_secrets(given):
        print_line(f"leadpay: WARNING: {warning}", file=sys.stderr)
    command, bound, *_ = app.parse_args(given)
    try:
        result: Any = command(*bound.args, **bound.kwargs)
        if asyncio.iscoroutine(result):
            result = asyncio.run(result)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes standard output again at exit, and would print a second error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(exit_codes.PIPE_CLOSED)
    except KeyboardInterrupt:
        sys.exit(exit_codes.INTERRUPTED)
    except (LeadError, OSError) as error:
        print_line(f"leadpay: {_message(error)}", file=sys.stderr)
        sys.exit(exit_codes.for_error(error))
    sys.exit(result if isinstance(result, int) else exit_codes.OK)


def _message(error: LeadError | OSError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"{error.strerror}; choose another with --port, or 0 for any free port"
    return str(error)

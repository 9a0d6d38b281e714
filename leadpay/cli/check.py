"""``leadpay check``: list a router's routes, and the mandatory events that have no handler; examine the handlers."""

import asyncio
import io
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Annotated, Any

import attrs

from leadpay.cli.exit_codes import NEGATIVE, OK
from leadpay.cli.importer import import_function, import_router
from leadpay.cli.options import AsJson, Flag
from leadpay.cli.output import print_json, print_line
from leadpay.errors import ConfigurationError
from leadpay.exam import ExamReport, examine
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.webhooks.route import Route
from leadpay.webhooks.router import WebhookRouter


def check(
    router: str,
    *,
    exam: Annotated[bool, Flag] = False,
    observe: str | None = None,
    prepare: str | None = None,
    as_json: AsJson = False,
) -> int:
    """List a router's routes, and the mandatory events that have no handler (exit code 1).

    With --exam, deliver sample events to the handlers in every order, twice, and with crashes, on a throw-away
    database. Exit code 1 if a handler does not pass. The handlers run: use no settings of production.

    Args:
        router: The router, as MODULE:NAME.
        exam: Examine the handlers.
        observe: A function that returns what the handlers have done outside of the database, as MODULE:NAME.
        prepare: A function that creates your tables; it takes the sqlite3 connection of the throw-away database.
        as_json: Print one JSON object.
    """
    if not exam and (observe or prepare):
        raise ConfigurationError("--observe and --prepare need --exam")
    found = import_router(router)
    missing = found.unhandled_mandatory()
    # Modules are imported before an event loop runs: a script may run one of its own.
    functions = [None if path is None else import_function(path) for path in (observe, prepare)]
    report = asyncio.run(_examine(found, *functions)) if exam else None
    exit_code = NEGATIVE if missing or (report is not None and report.findings) else OK
    if as_json:
        data = {"routes": [route_data(route) for route in found.routes()], "missing": missing}
        print_json(data if report is None else {**data, "exam": attrs.asdict(report)})
        return exit_code
    for route in found.routes():
        types = " ".join(route.patterns) or "(unhandled)"
        filters = route.describe_filters()
        print_line(f"{types}  {route.name}" + (f"  [{filters}]" if filters else ""))
    for event_type in missing:
        print_line(f"MISSING: {event_type} (incoming) is mandatory for the bank, and no handler takes it")
    if report is not None:
        _print(report)
    return exit_code


async def _examine(
    router: WebhookRouter, observe: Callable[..., Any] | None, prepare: Callable[..., Any] | None
) -> ExamReport:
    """Examine, without what the handlers print: they run hundreds of times."""
    with redirect_stdout(io.StringIO()):
        async with SqliteInbox(":memory:", prepare=prepare) as inbox:
            return await examine(router, observe=observe, inbox=inbox)


def _print(report: ExamReport) -> None:
    for finding in report.findings:
        print_line(f"{finding.kind.upper()}: {', '.join(finding.handlers)}")
        print_line(f"  {finding.detail}")
        print_line(f"  {'; '.join(finding.sequence)}")
    count = len(report.findings)
    result = "nothing is wrong" if count == 0 else f"{count} findings"
    print_line(f"{len(report.handlers)} handlers examined in {report.runs} runs: {result}")


def route_data(route: Route) -> dict[str, object]:
    """Convert a route to JSON data."""
    return {
        "handler": route.name,
        "router": route.router.name,
        "events": route.patterns,
        "filters": route.describe_filters(),
        "retries": route.retries,
        "timeout": route.timeout,
    }

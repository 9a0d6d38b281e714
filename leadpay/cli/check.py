"""``leadpay check``: list a router's routes, and the mandatory events that have no handler."""

from leadpay.cli.exit_codes import NEGATIVE, OK
from leadpay.cli.importer import import_router
from leadpay.cli.options import AsJson
from leadpay.cli.output import print_json, print_line
from leadpay.webhooks.route import Route


def check(router: str, *, as_json: AsJson = False) -> int:
    """List a router's routes, and the mandatory events that have no handler (exit code 1).

    Args:
        router: The router, as MODULE:NAME.
        as_json: Print one JSON object.
    """
    found = import_router(router)
    missing = found.unhandled_mandatory()
    exit_code = NEGATIVE if missing else OK
    if as_json:
        print_json({"routes": [route_data(route) for route in found.routes()], "missing": missing})
        return exit_code
    for route in found.routes():
        types = " ".join(route.patterns) or "(unhandled)"
        filters = route.describe_filters()
        print_line(f"{types}  {route.name}" + (f"  [{filters}]" if filters else ""))
    for event_type in missing:
        print_line(f"MISSING: {event_type} (incoming) is mandatory for the bank, and no handler takes it")
    return exit_code


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

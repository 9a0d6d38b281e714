"""``leadpay plugins``: list handlers that installed packages provide."""

from leadpay.cli.exit_codes import NEGATIVE, OK
from leadpay.cli.options import AsJson
from leadpay.cli.output import print_json, print_line, print_table
from leadpay.webhooks.plugins import Plugin, find_plugins


def plugins(*, as_json: AsJson = False) -> int:
    """List installed plugins in load order, and those that cannot be loaded (exit code 1).

    Args:
        as_json: Print one JSON object per line.
    """
    found = find_plugins()
    broken = [plugin for plugin in found if plugin.error is not None]
    if as_json:
        for plugin in found:
            print_json(plugin_data(plugin))
        return NEGATIVE if broken else OK
    rows = [(one.distribution, one.version, one.name, " ".join(one.events) or "BROKEN") for one in found]
    print_table(("DISTRIBUTION", "VERSION", "NAME", "EVENTS"), rows)
    for plugin in broken:
        print_line(f"BROKEN: {plugin.error}")
    return NEGATIVE if broken else OK


def plugin_data(plugin: Plugin) -> dict[str, object]:
    """Convert a plugin to JSON data."""
    return {
        "distribution": plugin.distribution,
        "version": plugin.version,
        "name": plugin.name,
        "place": plugin.place,
        "events": plugin.events,
        "error": None if plugin.error is None else str(plugin.error),
    }

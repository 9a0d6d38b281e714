"""``leadpay plugins``: handlers that arrived as installed packages."""

from leadpay.cli.look import AsJson
from leadpay.cli.screen import say, say_json, table
from leadpay.webhooks.plugins import Plugin, find_plugins


def plugins(*, as_json: AsJson = False) -> int:
    """List installed plugins in the order in which they are loaded, and name those that are broken (exit status 1).

    Args:
        as_json: One object a line, for programs.
    """
    found = find_plugins()
    broken = [plugin for plugin in found if plugin.error is not None]
    if as_json:
        for plugin in found:
            say_json(facts(plugin))
        return int(bool(broken))
    rows = [(one.distribution, one.version, one.name, " ".join(one.events) or "BROKEN") for one in found]
    table(("DISTRIBUTION", "VERSION", "NAME", "EVENTS"), rows)
    for plugin in broken:
        say(f"BROKEN: {plugin.error}")
    return int(bool(broken))


def facts(plugin: Plugin) -> dict[str, object]:
    """Put a plugin into JSON."""
    return {
        "distribution": plugin.distribution,
        "version": plugin.version,
        "name": plugin.name,
        "place": plugin.place,
        "events": plugin.events,
        "error": None if plugin.error is None else str(plugin.error),
    }

"""Routers that installed distributions offer under the entry point group ``leadpay.handlers``.

A distribution offers one with three lines in its ``pyproject.toml``::

    [project.entry-points."leadpay.handlers"]
    ledger = "leadpay_ledger:router"

and a program includes all that are installed with one line::

    load_plugins(router)

They are included in the order of their distributions' names and, within one, of the entry points' names: the same on
every machine, in whatever order they were installed.
"""

import logging
import re
from collections.abc import Collection, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final, Literal, TypeAlias

import attrs

from leadpay.errors import ConfigurationError, RouterError
from leadpay.webhooks.dispatcher import traceback_without_messages
from leadpay.webhooks.router import WebhookRouter

logger = logging.getLogger("leadpay.webhooks")

GROUP: Final = "leadpay.handlers"
"""The entry point group."""

OnError: TypeAlias = Literal["raise", "skip"]
"""What happens to a broken plugin: it stops the start, or it is left out with an error in the log."""


@attrs.frozen(kw_only=True)
class Plugin:
    """What one entry point offers."""

    distribution: str
    """The distribution's name, as it calls itself."""
    version: str
    name: str
    """The entry point's name."""
    place: str
    """Where the router is, as ``module:name``."""
    router: WebhookRouter | None = None
    """None if it is broken."""
    error: RouterError | None = None
    """What is wrong with it, with the distribution's name; None if nothing is."""

    @property
    def events(self) -> tuple[str, ...]:
        """The types of event that it takes, each once, in order; ``(unhandled)`` for what no other handler takes."""
        routes = () if self.router is None else self.router.routes()
        return tuple(dict.fromkeys(pattern for route in routes for pattern in route.patterns or ("(unhandled)",)))

    def __str__(self) -> str:
        return f"plugin {self.name!r} of {self.distribution} {self.version}"


def load_plugins(
    router: WebhookRouter,
    *,
    only: Collection[str] | None = None,
    skip: Collection[str] = (),
    on_error: OnError = "raise",
    found: Iterable[EntryPoint] | None = None,
) -> tuple[Plugin, ...]:
    """Include the routers of installed plugins, by distribution name and then entry point name.

    All are imported and checked before the first is included: if one is broken, the router stays as it was.

    Args:
        router: the router to include them in, after what it has already.
        only: names of the distributions to take, or of single entry points as ``distribution:name``; all if left out.
        skip: names of the distributions or entry points to leave out; they are not even imported.
        on_error: ``"raise"`` raises if a plugin is broken; ``"skip"`` leaves it out, with an error in the log.
        found: entry points to choose from, instead of those that are installed.

    Returns:
        The plugins that were included, in their order.

    Raises:
        RouterError: a plugin cannot be imported, or what it offers is no router or is included already; the message
            names its distribution.
        ConfigurationError: nothing has a name that ``only`` asks for, or an argument is of the wrong kind.
    """
    if on_error not in ("raise", "skip"):
        raise ConfigurationError(f"on_error must be 'raise' or 'skip', not {on_error!r}")
    present = router.relatives()
    fitting: dict[WebhookRouter, Plugin] = {}
    for plugin in find_plugins(only=only, skip=skip, found=found):
        one = _raise_or_log(_checked(plugin, present), on_error)
        if one.router is not None:
            present.update(one.router.tree())
            fitting[one.router] = one
    for included in fitting:
        router.include(included)
    return tuple(fitting.values())


def find_plugins(
    *, only: Collection[str] | None = None, skip: Collection[str] = (), found: Iterable[EntryPoint] | None = None
) -> list[Plugin]:
    """Import what installed distributions offer, and report each, with what is wrong with it.

    Args:
        only: as for :func:`load_plugins`.
        skip: as for :func:`load_plugins`.
        found: as for :func:`load_plugins`.

    Raises:
        ConfigurationError: as :func:`load_plugins`.
    """
    points = sorted(entry_points(group=GROUP) if found is None else found, key=_key)
    names = {name for point in points for name in _names(point)}
    wanted, unwanted = _normalized_all(only or (), "only"), _normalized_all(skip, "skip")
    if missing := sorted(wanted - names):
        raise ConfigurationError(f"only={missing!r}: no such plugin is installed")
    for name in sorted(unwanted - names):
        logger.warning("skip=%r: no such plugin is installed", name)
    return [
        _load(point) for point in points if (only is None or wanted & _names(point)) and not unwanted & _names(point)
    ]


def _load(point: EntryPoint) -> Plugin:
    distribution, version = _origin(point)
    plugin = Plugin(distribution=distribution, version=version, name=point.name, place=point.value)
    try:
        offered = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - another's module may raise anything, and call sys.exit()
        return _broken(plugin, f"{point.value} cannot be imported ({_reason(error)})", error)
    if not isinstance(offered, WebhookRouter):
        return _broken(plugin, f"{point.value} is a {type(offered).__name__}, not a WebhookRouter")
    return attrs.evolve(plugin, router=offered)


def _checked(plugin: Plugin, present: Collection[WebhookRouter]) -> Plugin:
    """Check that its router is not in the tree already."""
    for added in () if plugin.router is None else plugin.router.tree():
        if added in present:
            return _broken(plugin, f"{plugin.place}: {added.name} is in this tree already")
    return plugin


def _broken(plugin: Plugin, why: str, cause: BaseException | None = None) -> Plugin:
    error = RouterError(f"{plugin}: {why}")
    error.__cause__ = cause
    return attrs.evolve(plugin, router=None, error=error)


def _raise_or_log(plugin: Plugin, on_error: OnError) -> Plugin:
    """Raise what is wrong with a plugin, or log it."""
    if plugin.error is not None:
        if on_error == "raise":
            raise plugin.error
        cause = plugin.error.__cause__
        # Not as exc_info: the message of the plugin's own error may quote a setting.
        where = "" if cause is None else f"\n{traceback_without_messages(cause)}"
        logger.error("%s; its events are NOT handled%s", plugin.error, where)
    return plugin


def _reason(error: BaseException) -> str:
    """Name the error; only the message of an ImportError is repeated, since any other may quote a setting."""
    message = f": {error}" if isinstance(error, ImportError) else ""
    return type(error).__name__ + message


def _key(point: EntryPoint) -> tuple[str, str]:
    return _normalized(_origin(point)[0]), point.name


def _origin(point: EntryPoint) -> tuple[str, str]:
    """Get the name and the version of the distribution; an entry point that was made by hand has none."""
    return ("(no distribution)", "?") if point.dist is None else (point.dist.name, point.dist.version)


def _names(point: EntryPoint) -> set[str]:
    distribution, name = _key(point)
    return {distribution, f"{distribution}:{name}"}


def _normalized_all(names: Collection[str], argument: str) -> set[str]:
    if isinstance(names, str):
        raise ConfigurationError(f"{argument}= takes several names, as in {argument}=[{names!r}]")
    return {
        _normalized(distribution) + colon + name for distribution, colon, name in (one.partition(":") for one in names)
    }


def _normalized(name: str) -> str:
    """Write a distribution's name as packaging compares it: Leadpay.Ledger is leadpay-ledger."""
    return re.sub(r"[-_.]+", "-", name).lower()

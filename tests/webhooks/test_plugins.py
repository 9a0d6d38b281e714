"""Plugins: the order in which they come, what is chosen, and how a broken one shows."""

import logging
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from leadpay.errors import ConfigurationError, RouterError
from leadpay.webhooks.plugins import find_plugins, load_plugins
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from tests.support.installed import Installed

ROUTER = """
    from leadpay import WebhookRouter
    router = WebhookRouter("{name}")
    seen = []
    @router.{event}
    async def handle(event):
        seen.append(event.id)
        {then}
"""


def source(name: str, *, event: str = "posted", then: str = "return") -> str:
    """Write a plugin's module."""
    return ROUTER.format(name=name, event=event, then=then)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = Installed(tmp_path)
    yield found
    found.forget()


def names(router: WebhookRouter) -> list[str]:
    """List the modules of the handlers, in the order in which they run."""
    return [route.name.partition(":")[0] for route in router.routes()]


def test_plugins_come_by_distribution_and_then_by_name(installed: Installed) -> None:
    """The order is the alphabet's, after what the router has itself, whatever was installed first."""
    for name in ("plug_c", "plug_a", "plug_b", "plug_d"):
        installed.add(name, {}, name, source(name))
    installed.add("Zebra.Pay", {"late": "plug_d:router"})
    installed.add("ant-pay", {"two": "plug_b:router", "one": "plug_a:router"})
    installed.add("Bee_Pay", {"only": "plug_c:router"})
    root = WebhookRouter("root")

    @root.rejected
    async def own(event: object) -> None: ...

    plugins = load_plugins(root, found=installed.points())
    assert names(root) == [__name__, "plug_a", "plug_b", "plug_c", "plug_d"]
    assert [(one.distribution, one.version, one.name) for one in plugins] == [
        ("ant-pay", "1.0", "one"),
        ("ant-pay", "1.0", "two"),
        ("Bee_Pay", "1.0", "only"),
        ("Zebra.Pay", "1.0", "late"),
    ]


@pytest.mark.parametrize(
    ("only", "skip", "expected"),
    [
        (None, ["ant-pay"], ["plug_c"]),
        (["Ant.Pay"], [], ["plug_a", "plug_b"]),
        (["ant_pay:one", "bee-pay"], (), ["plug_a", "plug_c"]),
        (None, ["ant-pay:one"], ["plug_b", "plug_c"]),
        ([], [], []),
    ],
)
def test_some_are_chosen(installed: Installed, only: list[str] | None, skip: list[str], expected: list[str]) -> None:
    """By distribution, however its name is spelled, or by entry point; what is left out is not even imported."""
    for name in ("plug_a", "plug_b", "plug_c"):
        installed.add(name, {}, name, source(name))
    installed.add("ant-pay", {"one": "plug_a:router", "two": "plug_b:router"})
    installed.add("bee-pay", {"three": "plug_c:router"})
    root = WebhookRouter("root")
    load_plugins(root, only=only, skip=skip, found=installed.points())
    assert names(root) == expected
    assert {name for name in sys.modules if name.startswith("plug_")} == set(expected)


def test_an_unknown_choice_is_noticed(installed: Installed, caplog: pytest.LogCaptureFixture) -> None:
    """What is asked for must be there; what is to be left out may be missing, which is said."""
    root = WebhookRouter("root")
    with pytest.raises(ConfigurationError, match=r"only=\['ledgre'\]: no such plugin"):
        load_plugins(root, only=["ledgre"], found=installed.points())
    with pytest.raises(ConfigurationError, match="takes several names"):
        load_plugins(root, skip="ledger", found=installed.points())
    with pytest.raises(ConfigurationError, match="'raise' or 'skip', not 'ignore'"):
        load_plugins(root, on_error="ignore", found=installed.points())  # type: ignore[arg-type]  # the subject
    load_plugins(root, skip=["ledgre"], found=installed.points())
    assert caplog.messages == ["skip='ledgre': no such plugin is installed"]


BROKEN = [
    ("import nowhere_at_all", "plug_x:router", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
    ("raise ValueError('dsn of postgres://user:pass@host')", "plug_x:router", "cannot be imported (ValueError)"),
    ("", "plug_x:router", "cannot be imported (AttributeError)"),
    ("router = {}", "plug_x:router", "plug_x:router is a dict, not a WebhookRouter"),
    ("from plug_good import router", "plug_x:router", "plug_good is in this tree already"),
]


@pytest.mark.parametrize(("code", "place", "why"), BROKEN)
def test_a_broken_plugin_stops_the_start_up(installed: Installed, code: str, place: str, why: str) -> None:
    """The error names the distribution and what is wrong, and repeats nothing that may be a setting."""
    installed.add("good", {"good": "plug_good:router"}, "plug_good", source("plug_good"))
    installed.add("worse-pay", {"ledger": place}, "plug_x", code)
    root = WebhookRouter("root")
    with pytest.raises(RouterError, match=r"^plugin 'ledger' of worse-pay 1\.0: ") as raised:
        load_plugins(root, found=installed.points())
    assert why in str(raised.value)
    assert "pass@" not in str(raised.value)


def test_a_start_up_that_fails_leaves_the_router_as_it_was(installed: Installed) -> None:
    """Plugins are imported before the first of them is included."""
    installed.add("good", {"good": "plug_good:router"}, "plug_good", source("plug_good"))
    installed.add("worse", {"bad": "plug_x:router"}, "plug_x", "router = 1")
    root = WebhookRouter("root")
    with pytest.raises(RouterError):
        load_plugins(root, found=installed.points())
    assert names(root) == []


def test_a_router_that_two_offer_leaves_the_router_as_it_was(installed: Installed) -> None:
    """That they don't go together is found before the first of them is included."""
    installed.add("a-first", {"good": "plug_good:router"}, "plug_good", source("plug_good"))
    installed.add("b-second", {"same": "plug_x:router"}, "plug_x", "from plug_good import router")
    root = WebhookRouter("root")
    with pytest.raises(RouterError, match="plugin 'same' of b-second"):
        load_plugins(root, found=installed.points())
    assert names(root) == []
    load_plugins(root, skip=["b-second"], found=installed.points())
    assert names(root) == ["plug_good"]


def test_a_router_that_the_program_has_is_not_taken_twice(installed: Installed) -> None:
    """Wherever in the tree it is: above, below or beside the router that plugins are loaded into."""
    installed.add("ledger", {"ledger": "plug_l:router"}, "plug_l", source("plug_l"))
    top, root = WebhookRouter("top"), WebhookRouter("root")
    top.include(root)
    [plugin] = find_plugins(found=installed.points())
    assert plugin.router is not None
    top.include(plugin.router)
    with pytest.raises(RouterError, match=r"plugin 'ledger' of ledger 1\.0: plug_l:router: plug_l is in this tree"):
        load_plugins(root, found=installed.points())


@pytest.mark.parametrize(("code", "place", "why"), BROKEN)
def test_a_broken_plugin_can_be_skipped_loudly(
    installed: Installed, caplog: pytest.LogCaptureFixture, code: str, place: str, why: str
) -> None:
    """The others are included, and an error in the log says whose events are not handled."""
    installed.add("worse-pay", {"ledger": place}, "plug_x", code)
    installed.add("good", {"good": "plug_good:router"}, "plug_good", source("plug_good"))
    root = WebhookRouter("root")
    loaded = load_plugins(root, on_error="skip", found=installed.points())
    assert [one.distribution for one in loaded] == ["good"]
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.message.startswith("plugin 'ledger' of worse-pay 1.0: ")
    assert why in record.message
    assert "; its events are NOT handled" in record.message


@pytest.mark.asyncio
async def test_a_failing_plugin_does_not_hold_up_the_next(
    installed: Installed, make_body: Callable[..., bytes], signed: Callable[..., dict[str, str]], clock: Any
) -> None:
    """A handler that raises is reported to the bank, after the neighbour has handled the event."""
    installed.add("a-fails", {"one": "plug_fails:router"}, "plug_fails", source("f", then="raise OSError"))
    installed.add("b-works", {"one": "plug_works:router"}, "plug_works", source("w"))
    root = WebhookRouter("root")
    load_plugins(root, found=installed.points())
    receiver = WebhookReceiver(root, secrets="whsec_current", clock=clock)
    body = make_body()
    assert await receiver.receive(body=body, headers=signed(body)) == 500
    assert sys.modules["plug_works"].seen == ["event_1"]


def test_a_plugin_tells_what_it_takes(installed: Installed) -> None:
    """Each type once, in order; a type that no handler takes says so."""
    then = "return\n    router.posted(direction='incoming')(handle)\n    router.unhandled(handle)"
    installed.add("ledger", {"ledger": "plug_l:router"}, "plug_l", source("l", then=then))
    [plugin] = find_plugins(found=installed.points())
    assert plugin.events == ("instant_payment.posted", "(unhandled)")
    assert (plugin.place, plugin.error) == ("plug_l:router", None)


def test_an_entry_point_without_a_distribution_has_a_name_too() -> None:
    """One that was made by hand is named as such."""
    [plugin] = find_plugins(found=[EntryPoint(name="mine", value="nowhere:router", group="leadpay.handlers")])
    assert str(plugin) == "plugin 'mine' of (no distribution) ?"
    assert plugin.events == ()


def test_what_is_installed_is_found(installed: Installed) -> None:
    """Without entry points of its own, it looks at the environment."""
    installed.add("leadpay-found-by-a-test", {"here": "plug_here:router"}, "plug_here", source("here"))
    root = WebhookRouter("root")
    [plugin] = load_plugins(root, only=["leadpay-found-by-a-test"])
    assert plugin.router in list(root.tree())

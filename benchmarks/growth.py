"""How cost grows with the number of routes, pages, events in memory and calls."""

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import orjson

from benchmarks.bank import running
from benchmarks.rounds import Contestant, Report, Result, Run, run_rounds
from benchmarks.samples import body

EVENTS: Final = 100_000
PAYMENTS: Final = 100_000
CALLS: Final = 10_000


def _resident() -> int:
    """The resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _result(name: str, value: float, goal: str = "") -> Result:
    return Result(name, (value,), (), goal)


def _dispatch(routes: int) -> Run:
    from leadpay.webhooks.context import Context
    from leadpay.webhooks.dispatcher import Dispatcher
    from leadpay.webhooks.event import parse
    from leadpay.webhooks.router import WebhookRouter

    async def handle(_: Any) -> None: ...

    router = WebhookRouter("benchmark")
    router.return_request_response_needed(direction="incoming")(handle)
    for _ in range(routes - 1):
        router.on("ach.*", "wire.posted")(handle)
    event, dispatcher = parse(body()), Dispatcher(router)
    context = Context(event=event, received_at=datetime.now(UTC))

    async def run(times: int) -> float:
        start = perf_counter()
        for _ in range(times):
            await dispatcher.dispatch(event, context)
        return perf_counter() - start

    return run


async def _paginate() -> Report:
    from leadpay import LeadClient

    async with running(PAYMENTS) as url, LeadClient(client_id="id", client_secret="secret", base_url=url) as lead:
        first, most, count = 0, 0, 0
        async for _ in lead.instant_payments.list(limit=100):
            count += 1
            if count == 100:  # noqa: PLR2004 - the first page
                first = _resident()
            elif count % 5_000 == 0:
                most = max(most, _resident())
    assert count == PAYMENTS
    return Report(
        f"memory above the first page, over {PAYMENTS:,} payments",
        "bytes",
        (_result("leadpay", most - first, f"<= {5 * 1024 * 1024}"),),
    )


async def _calls() -> Report:
    from leadpay import LeadClient

    async with running() as url, LeadClient(client_id="id", client_secret="secret", base_url=url) as lead:
        for _ in range(500):
            await lead.instant_payments.retrieve("instant_payment_1")
        gc.collect()
        before = (_resident(), len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()))
        for _ in range(CALLS):
            await lead.instant_payments.retrieve("instant_payment_1")
        gc.collect()
        after = (_resident(), len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()))
    memory, sockets, tasks = (now - then for now, then in zip(after, before, strict=True))
    return Report(
        f"growth over {CALLS:,} calls",
        "bytes, descriptors, tasks",
        (_result("memory", memory), _result("sockets", sockets, "<= 0"), _result("tasks", tasks, "<= 0")),
    )


def memory_per_event(kind: str) -> float:
    """Parse many events and return the bytes of memory per event. It runs in a new process."""
    parse = _parser(kind)
    parse(body())
    gc.collect()
    before = _resident()
    events = [parse(body(number)) for number in range(EVENTS)]
    return (_resident() - before) / len(events)


def _parser(kind: str) -> Callable[[bytes], Any]:
    if kind == "leadpay":
        from leadpay.webhooks.event import parse

        return parse
    if kind == "pydantic":
        from typing import get_type_hints

        import attrs
        from pydantic import create_model

        from leadpay.models import InstantPaymentEvent, Model

        made: dict[Any, Any] = {}

        def twin(hint: Any) -> Any:
            if isinstance(hint, type) and issubclass(hint, Model):
                if hint not in made:
                    fields: dict[str, Any] = {}
                    for name, inner in get_type_hints(hint).items():
                        if name != "_unknown_fields":
                            default = getattr(attrs.fields_dict(hint)[name], "default", attrs.NOTHING)
                            fields[name] = (_replaced(inner, twin), ... if default is attrs.NOTHING else default)
                    made[hint] = create_model(hint.__name__, **fields)
                return made[hint]
            return hint

        return lambda raw: twin(InstantPaymentEvent).model_validate(orjson.loads(raw))
    return orjson.loads


def _replaced(hint: Any, twin: Callable[[Any], Any]) -> Any:
    arguments = getattr(hint, "__args__", None)
    if not arguments:
        return twin(hint)
    parts = tuple(_replaced(one, twin) for one in arguments if one not in (type(None), Ellipsis))
    if type(None) in arguments:
        return parts[0] | None
    return tuple.__class_getitem__((parts[0], ...))


def _memory() -> Report:
    results = []
    for kind in ("dicts", "leadpay", "pydantic"):
        code = f"from benchmarks.growth import memory_per_event; print(memory_per_event({kind!r}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            results.append(_result(kind, float(done.stdout)))
    return Report(f"memory per event, {EVENTS:,} in memory", "bytes", tuple(results))


def measure(*, quick: bool) -> list[Report]:
    """Measure."""
    contestants = [Contestant("1 route", _dispatch(1))]
    contestants += [Contestant(f"{number:,} routes", _dispatch(number), "<= 1.1") for number in (10, 1_000)]
    results = asyncio.run(run_rounds(contestants, rounds=10 if quick else 60, times=500))
    routes = Report("dispatch, with routes of other event types", "seconds", results)
    return [routes, asyncio.run(_paginate()), _memory(), asyncio.run(_calls())]

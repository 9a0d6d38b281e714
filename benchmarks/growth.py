"""How cost grows: with routes, with pages, with events held, with calls."""

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
from benchmarks.rounds import Answer, Contestant, Result, Run, take_turns
from benchmarks.samples import body

HELD: Final = 100_000
WALKED: Final = 100_000
CALLS: Final = 10_000


def _resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _one(name: str, value: float, goal: str = "") -> Result:
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


async def _walk() -> Answer:
    from leadpay import LeadClient

    async with running(WALKED) as url, LeadClient(client_id="id", client_secret="secret", base_url=url) as lead:
        first, most, count = 0, 0, 0
        async for _ in lead.instant_payments.list(limit=100):
            count += 1
            if count == 100:  # noqa: PLR2004 - the first page
                first = _resident()
            elif count % 5_000 == 0:
                most = max(most, _resident())
    assert count == WALKED
    return Answer(
        f"memory above the first page, over {WALKED:,} payments",
        "bytes",
        (_one("leadpay", most - first, f"<= {5 * 1024 * 1024}"),),
    )


async def _calls() -> Answer:
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
    return Answer(
        f"growth over {CALLS:,} calls",
        "bytes, descriptors, tasks",
        (_one("memory", memory), _one("sockets", sockets, "<= 0"), _one("tasks", tasks, "<= 0")),
    )


def hold(kind: str) -> float:
    """Read and keep many events, in a process of its own; give the bytes for each."""
    read = _reader(kind)
    read(body())
    gc.collect()
    before = _resident()
    kept = [read(body(number)) for number in range(HELD)]
    return (_resident() - before) / len(kept)


def _reader(kind: str) -> Callable[[bytes], Any]:
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


def _held() -> Answer:
    results = []
    for kind in ("dicts", "leadpay", "pydantic"):
        code = f"from benchmarks.growth import hold; print(hold({kind!r}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            results.append(_one(kind, float(done.stdout)))
    return Answer(f"memory of an event, {HELD:,} held", "bytes", tuple(results))


def answer(*, quick: bool) -> list[Answer]:
    """Measure."""
    contestants = [Contestant("1 route", _dispatch(1))]
    contestants += [Contestant(f"{number:,} routes", _dispatch(number), "<= 1.1") for number in (10, 1_000)]
    results = asyncio.run(take_turns(contestants, rounds=10 if quick else 60, times=500))
    routes = Answer("dispatch, beside routes of other types", "seconds", results)
    return [routes, asyncio.run(_walk()), _held(), asyncio.run(_calls())]

"""The CPU of a call that sends a payment, fifty at a time and one at a time."""

import asyncio
import multiprocessing
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from multiprocessing.connection import Connection
from time import process_time
from typing import Any, Final, TypeAlias

import aiohttp
import orjson

from benchmarks.bank import running
from benchmarks.rounds import Contestant, Report, Result, Run, compare, run_rounds

Call: TypeAlias = Callable[[], Awaitable[Any]]
Make: TypeAlias = Callable[[AsyncExitStack, str], Awaitable[Call]]

PROCESSES: Final = multiprocessing.get_context("spawn")


def _body() -> dict[str, Any]:
    """Make a payment's body, as everybody does for each call."""
    return {
        "account_number_id": "account_number_main",
        "amount": 5000,
        "currency_code": "USD",
        "creditor": {"name": "Alex Smith", "account_number": "1234567890"},
        "creditor_agent": {"routing_number": "111000111"},
        "description": "Invoice 12345",
    }


async def _raw(stack: AsyncExitStack, url: str) -> Call:
    session = await stack.enter_async_context(aiohttp.ClientSession())

    async def call() -> Any:
        headers = {"Content-Type": "application/json"}
        async with session.post(f"{url}/v1/instant_payments", data=orjson.dumps(_body()), headers=headers) as response:
            return orjson.loads(await response.read())

    return call


async def _leadpay(stack: AsyncExitStack, url: str) -> Call:
    from leadpay import Agent, LeadClient, Party

    lead = await stack.enter_async_context(LeadClient(client_id="id", client_secret="secret", base_url=url))

    async def call() -> Any:
        return await lead.instant_payments.send(
            account_number_id="account_number_main",
            amount=5000,
            creditor=Party(name="Alex Smith", account_number="1234567890"),
            creditor_agent=Agent(routing_number="111000111"),
            description="Invoice 12345",
        )

    return call


async def _gidgethub(stack: AsyncExitStack, url: str) -> Call:
    from gidgethub.aiohttp import GitHubAPI

    session = await stack.enter_async_context(aiohttp.ClientSession())
    github = GitHubAPI(session, "benchmark", oauth_token="token", base_url=url)
    return lambda: github.post("/v1/instant_payments", data=_body())


async def _increase(stack: AsyncExitStack, url: str) -> Call:
    from increase import AsyncIncrease, DefaultAioHttpClient

    http = await stack.enter_async_context(DefaultAioHttpClient(base_url=url))
    client = AsyncIncrease(api_key="key", base_url=url, http_client=http)
    return lambda: client.real_time_payments_transfers.create(
        amount=5000,
        creditor_name="Alex Smith",
        source_account_number_id="account_number_main",
        unstructured_remittance_information="Invoice 12345",
        account_number="1234567890",
        routing_number="111000111",
    )


async def _stripe(stack: AsyncExitStack, url: str) -> Call:
    import stripe

    session = await stack.enter_async_context(aiohttp.ClientSession())
    http = stripe.AIOHTTPClient(session=session) if hasattr(stripe, "AIOHTTPClient") else _stripe_http(session)
    client = stripe.StripeClient("sk_test", base_addresses={"api": url}, http_client=http)
    return lambda: client.v1.payouts.create_async({"amount": 5000, "currency": "usd", "description": "Invoice 12345"})


def _stripe_http(session: aiohttp.ClientSession) -> Any:
    from stripe._http_client import AIOHTTPClient

    return AIOHTTPClient(session=session)


def _run(call: Call, at_once: int) -> Run:
    async def run(times: int) -> float:
        left = times

        async def work() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await call()

        start = process_time()
        await asyncio.gather(*(work() for _ in range(at_once)))
        return process_time() - start

    return run


MAKERS: Final[dict[str, Make]] = {
    "raw aiohttp post + orjson": _raw,
    "leadpay": _leadpay,
    "gidgethub (a dict)": _gidgethub,
    "Stripe, on aiohttp": _stripe,
    "Increase, on aiohttp": _increase,
}


def _compete(name: str, url: str, at_once: int, parent: Connection) -> None:
    """Be one contestant in a process of its own: what others import, and have specialized, costs it nothing."""
    os.sched_setaffinity(0, {1})

    async def compete() -> None:
        async with AsyncExitStack() as stack:
            run = _run(await MAKERS[name](stack, url), at_once)
            await run(at_once)
            parent.send("ready")
            while times := parent.recv():
                parent.send(await run(times))

    try:
        asyncio.run(compete())
    except Exception as error:  # noqa: BLE001 - a peer that cannot run here is left out, and named
        parent.send(type(error).__name__)


def _turn(child: Connection) -> Run:
    async def run(times: int) -> float:
        child.send(times)
        return float(child.recv())

    return run


async def _measure(at_once: int, goal: str, *, rounds: int) -> Report:
    contestants, notes, children = [], [], []
    async with running() as url:
        for name in MAKERS:
            child, there = PROCESSES.Pipe()
            process = PROCESSES.Process(target=_compete, args=(name, url, at_once, there))
            process.start()
            children.append((process, child))
            if (said := child.recv()) == "ready":
                contestants.append(Contestant(name, _turn(child), goal if name == "leadpay" else ""))
            else:
                notes.append(f"{name} left out: {said}")
        results = await run_rounds(contestants, rounds=rounds, times=300)
        for process, child in children:
            with suppress(OSError):
                child.send(0)
            process.join()
    if at_once > 1:
        return Report("a payment sent, fifty at a time: CPU", "seconds", results, tuple(notes))
    return Report("a payment sent, one at a time: CPU, best rounds", "seconds", _best(results), tuple(notes))


def _best(results: Sequence[Result]) -> tuple[Result, ...]:
    """Keep the best third of everybody's rounds: one at a time, each wait is a chance for others to disturb."""
    kept = max(1, len(results[0].values) // 3)
    rounds = list(zip(*(sorted(one.values)[:kept] for one in results), strict=True))
    return compare([one.name for one in results], rounds, [one.goal for one in results])


def measure(*, quick: bool) -> list[Report]:
    """Measure, on the second core."""
    rounds = 6 if quick else 25
    return [
        asyncio.run(_measure(50, "<= 1.2", rounds=rounds)),
        asyncio.run(_measure(1, "<= 1.15", rounds=rounds)),
    ]

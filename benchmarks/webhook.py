"""A webhook of 1.2 KB: verified, read, its handler found and awaited; with and without unknown fields and values."""

import asyncio
import hmac
from time import perf_counter

import orjson

from benchmarks.receivers import PEERS, Receiver, leadpay, leadpay_receive, present
from benchmarks.rounds import Contestant, Report, Run, run_rounds
from benchmarks.samples import SECRET, body, unknown_body

GOAL = "<= 2.6"
TIMES = 200


async def _floor(times: int) -> float:
    key, work = SECRET.encode(), [body(number) for number in range(times)]
    start = perf_counter()
    for raw in work:
        hmac.digest(key, b"1709373600250." + raw, "sha256")
        orjson.loads(raw)
    return perf_counter() - start


def _run(one: Receiver) -> Run:
    async def run(times: int) -> float:
        receive = one.receive
        work = [(raw, one.sign(raw)) for raw in map(one.body, range(times))]
        start = perf_counter()
        for raw, headers in work:
            await receive(raw, headers)
        return perf_counter() - start

    return run


def _whole() -> Run:
    async def run(times: int) -> float:
        # A receiver of its own for each round, since it knows the events of the last one as duplicates.
        return await _run(leadpay_receive())(times)

    return run


def measure(*, quick: bool) -> list[Report]:
    """Measure."""
    ours = [
        Contestant("leadpay", _run(leadpay()), GOAL),
        Contestant("leadpay, unknown fields", _run(leadpay()._replace(body=unknown_body))),
        Contestant("leadpay, receive()", _whole()),
    ]
    peers = [Contestant(one.name, _run(one)) for one in present(PEERS)]
    contestants = [Contestant("hmac.digest + orjson.loads", _floor), *ours, *peers]
    results = asyncio.run(run_rounds(contestants, rounds=6 if quick else 60, times=50 if quick else TIMES))
    return [Report("a webhook, received", "seconds", results)]

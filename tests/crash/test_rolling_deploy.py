"""Two consumers, and a release that renames, moves and adds handlers while the old one still works."""

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any, Final

import pytest

from leadpay.inbox import Inbox, Worker
from leadpay.models import InstantPaymentEvent
from leadpay.webhooks.context import Context
from leadpay.webhooks.router import WebhookRouter
from tests.crash.processes import ALL
from tests.inbox.conftest import file_url, inbox, inbox_url, memory_url  # noqa: F401 - fixtures
from tests.support.inbox import Bench

SEEDS: Final = range(200 if ALL else 5)
EVENTS: Final = 30
OLD_NAME: Final = "app:credit"


class Deploy:
    """The routers of two releases, and of another program, which note what they did."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.seen: Counter[tuple[str, str]] = Counter()
        self.old = self._router((OLD_NAME, "credit", ()), ("app:audit", "audit", ()))
        self.new = self._router(
            # Added in front, renamed, and moved to another module.
            ("export", "export", ()),
            ("ledger:credit", "credit", (OLD_NAME,)),
            ("audits:audit", "audit", ("app:audit",)),
        )
        self.mail = self._router(("mail", "mail", ()))

    def _router(self, *handlers: tuple[str, str, Sequence[str]]) -> WebhookRouter:
        router = WebhookRouter("deploy")
        for name, job, aliases in handlers:
            router.posted(name=name, aliases=aliases, retries=(1,) * 50)(self._handler(job))
        return router

    def _handler(self, job: str) -> Any:
        async def handler(event: InstantPaymentEvent, context: Context) -> None:
            if self._rng.random() < 0.3:
                raise ConnectionError
            self.seen[job, event.id] += 1

        return handler


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.asyncio
async def test_every_event_reaches_every_handler_that_was_meant_once(inbox: Inbox, seed: int) -> None:  # noqa: F811 - a fixture
    """Whichever release has it first; a new handler gets what came after it was registered, or waited then."""
    rng = Random(seed)  # noqa: S311 - to be repeated
    bench, deploy = Bench(inbox), Deploy(rng)
    known = {"clock": bench.clock, "rng": rng, "concurrency": 3}
    old = Worker(inbox, deploy.old, consumer="ledger", **known)  # type: ignore[arg-type]
    new = Worker(inbox, deploy.new, consumer="ledger", **known)  # type: ignore[arg-type]
    mail = Worker(inbox, deploy.mail, consumer="mail", **known)  # type: ignore[arg-type]
    workers = {"old": old, "mail": mail}
    for worker in workers.values():
        await worker.run_due()
    for number in range(EVENTS):
        if number == EVENTS // 3:
            workers["new"] = new
            await new.run_due()
        if number == 2 * EVENTS // 3:
            del workers["old"]
        await bench.receive(f"event_{number:02}", payment=f"instant_payment_{number % 7}", minute=number % 29)
        await rng.choice(list(workers.values())).run_due()
        bench.clock.move(rng.random() * 2)
    for _ in range(60):
        bench.clock.move(60)
        await new.run_due()
        await mail.run_due()
    expected = {(job, f"event_{number:02}"): 1 for job in ("credit", "audit", "mail") for number in range(EVENTS)}
    expected |= {("export", f"event_{number:02}"): 1 for number in range(EVENTS // 3, EVENTS)}
    # What still waited for another handler at the release goes to the new one too.
    early = {key for key in deploy.seen if key not in expected}
    assert {job for job, _ in early} <= {"export"}
    assert {key: count for key, count in deploy.seen.items() if count != 1} == {}
    assert set(expected) <= set(deploy.seen)
    for consumer in ("ledger", "mail"):
        assert (await inbox.stats(consumer=consumer)).by_state == {"done": EVENTS}

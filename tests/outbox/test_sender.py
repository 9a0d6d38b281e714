"""Sending, on every store, against the simulated bank on a real socket."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from leadpay.errors import ConfigurationError, InstructionStateError, NotFoundError, OutboxError
from leadpay.instrumentation import OutboxMeasured
from leadpay.models import InstantPayment, Party
from leadpay.outbox import Limits, attempts
from leadpay.outbox import sending_queries as queries
from leadpay.outbox.store import Claim, Plan, Statement
from tests.support.outbox import ACCOUNT, AGENT, CREDITOR, OutboxScene, open_outbox_scene, payment

REFUSAL: dict[str, Any] = {
    "status": 422,
    "content_type": "application/problem+json",
    "body": '{"code": "insufficient_funds", "title": "Not enough"}',
}
"""What makes a proxy's response the bank's own."""


@pytest_asyncio.fixture
async def scene(outbox_url: str) -> AsyncIterator[OutboxScene]:
    async with open_outbox_scene(outbox_url) as opened:
        yield opened


async def trail(scene: OutboxScene, reference: str = "invoice-1") -> list[str]:
    """List the actions in an instruction's audit trail."""
    return [one.action for one in await scene.outbox.history(reference)]


@pytest.mark.asyncio
async def test_a_queued_payment_is_sent_once_and_accepted(scene: OutboxScene) -> None:
    """The bank has it under the instruction's key, and the instruction knows its payment."""
    await scene.outbox.send(**payment())
    assert await scene.work() == 1
    assert await scene.work() == 0
    (sent,) = await scene.payments()
    accepted = await scene.instruction()
    assert (accepted.state, accepted.payment_id, accepted.attempts) == ("accepted", sent.id, 1)
    assert accepted.payment is not None
    assert accepted.payment.status == "created"
    assert await trail(scene) == ["queued", "attempt", "accepted"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "fault",
    ["response_lost", "server_error_after", "bad_gateway_after", "proxy_error_after:status=405", "response_cut",
     "foreign_response", "in_progress", "server_error", "bad_gateway", "proxy_error:status=403"],
)  # fmt: skip
async def test_what_got_no_response_is_in_doubt_and_asked_again_with_its_key(scene: OutboxScene, fault: str) -> None:
    """There is one payment in the end, whatever happened to the first attempt."""
    scene.bank.faults.add(fault, operation="send", times=1)
    await scene.outbox.send(**payment())
    await scene.work()
    assert (await scene.instruction()).state == "in_doubt"
    await scene.move(60)
    await scene.work()
    (sent,) = await scene.payments()
    accepted = await scene.instruction()
    assert (accepted.state, accepted.payment_id, accepted.attempts) == ("accepted", sent.id, 2)
    assert await trail(scene) == ["queued", "attempt", "in_doubt", "attempt", "accepted"]


@pytest.mark.asyncio
async def test_a_refusal_is_final_and_nothing_moved(outbox_url: str) -> None:
    """Only the bank refuses; what was refused counts against no limit any more."""
    async with open_outbox_scene(outbox_url, limits=Limits(per_day=5000)) as scene:
        # A refusal on a kept connection is confirmed by a second one.
        scene.bank.faults.add("proxy_error", operation="send", times=2, **REFUSAL)
        await scene.outbox.send(**payment())
        await scene.work()
        refused = await scene.instruction()
        assert (refused.state, refused.outcome, refused.is_final) == ("refused", "refused", True)
        assert refused.reason is not None
        assert refused.reason == "UnprocessableEntityError, HTTP 422, code insufficient_funds"
        assert await scene.payments() == []
        assert (await scene.outbox.send(**payment(reference="invoice-2"))).state == "queued"


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ["source_ip_refused:send", "token_refused:token", "rate_limited:send"])
async def test_what_says_nothing_about_the_payment_leaves_it_in_the_queue(scene: OutboxScene, fault: str) -> None:
    """An address, a token or a rate that the bank refuses is no verdict on a payment."""
    # A refusal on a kept connection is confirmed by a second one.
    scene.bank.faults.add(fault, times=2 if fault.startswith("source_ip") else 1)
    await scene.outbox.send(**payment())
    await scene.work()
    queued = await scene.instruction()
    assert (queued.state, queued.first_attempt_at) == ("queued", None)
    assert queued.reason is not None
    assert await trail(scene) == ["queued", "attempt", "not_sent"]
    await scene.move(61)
    await scene.work()
    assert (await scene.instruction()).state == "accepted"


@pytest.mark.asyncio
async def test_retry_after_is_obeyed_by_all_senders(scene: OutboxScene) -> None:
    """The pause is in the database, and has a limit."""
    scene.bank.faults.add("rate_limited", operation="send", times=1, value=90)
    await scene.outbox.send(**payment())
    await scene.work()
    paused_until = (await scene.outbox.stats()).paused_until
    assert paused_until is not None
    assert paused_until.timestamp() == scene.clock.now() + 90
    await scene.outbox.send(**payment(reference="invoice-2"))
    await scene.move(89)
    assert await scene.work() == 0
    await scene.move(2)
    assert await scene.work() == 2
    assert await scene.work() == 0
    assert (await scene.outbox.stats()).paused_until is None
    assert len(await scene.payments()) == 2


@pytest.mark.asyncio
async def test_the_queue_is_worked_on_by_priority_and_then_by_age(scene: OutboxScene) -> None:
    """One at a time, the order shows."""
    for reference, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5), ("e", -1)):
        await scene.outbox.send(**payment(reference=reference, priority=priority, description=reference))
    await scene.work(concurrency=1)
    assert [one.description for one in await scene.payments()] == ["b", "d", "a", "c", "e"]


@pytest.mark.asyncio
async def test_a_bank_that_is_away_gets_one_attempt_after_each_pause(scene: OutboxScene) -> None:
    """However many instructions and senders there are; afterwards all go on, in their order."""
    for number in range(30):
        await scene.outbox.send(**payment(reference=f"p{number}", description=f"p{number}"))
    scene.bank.faults.add("cut_before", operation="send")
    requests = 0
    for _ in range(40):
        for _ in range(3):
            requests += await scene.work(concurrency=4)
        await scene.move(20)
    assert requests < 40
    assert await scene.payments() == []
    scene.bank.faults.clear()
    await scene.move(60)
    await scene.work(concurrency=4)
    sent = [one.description for one in await scene.payments()]
    assert sorted(sent, key=lambda one: int(str(one)[1:])) == [f"p{number}" for number in range(30)]
    assert all(abs(place - int(str(one)[1:])) < 12 for place, one in enumerate(sent))


@pytest.mark.asyncio
async def test_one_instruction_that_fails_does_not_hold_up_the_others(scene: OutboxScene) -> None:
    """It waits longer and longer by itself."""
    scene.bank.faults.add("server_error", operation="send", times=1)
    await scene.outbox.send(**payment())
    await scene.work()
    await scene.outbox.send(**payment(reference="invoice-2"))
    await scene.move(1)
    assert await scene.work() == 1
    assert (await scene.instruction("invoice-2")).state == "accepted"
    assert (await scene.instruction()).state == "in_doubt"


# Leases.


async def claim(scene: OutboxScene, *, lease: float = 90) -> Claim:
    """Claim the one instruction that is due, as a sender does that dies then."""
    plan = partial(queries.claim, limit=1, polls=0, lease=lease, lifetime=3600, now=scene.outbox.now())
    ((claimed,), pause) = await scene.outbox.store.run(plan)
    assert pause == 0
    return claimed


@pytest.mark.asyncio
async def test_an_instruction_of_a_sender_that_died_is_resumed_with_its_key(scene: OutboxScene) -> None:
    """Its attempt was written down, so it may have been executed; until the lease ends, no other sender takes it."""
    await scene.outbox.send(**payment())
    claimed = await claim(scene)
    assert (claimed.task, (await scene.instruction()).state) == ("send", "sending")
    assert await scene.work() == 0
    key = claimed.instruction.idempotency_key
    await scene.lead.instant_payments.send(
        account_number_id=ACCOUNT, amount=5000, creditor=CREDITOR, creditor_agent=AGENT, idempotency_key=key
    )
    await scene.move(91)
    assert await scene.work() == 1
    (sent,) = await scene.payments()
    assert (await scene.instruction()).payment_id == sent.id
    assert await trail(scene) == ["queued", "attempt", "attempt", "accepted"]


@pytest.mark.asyncio
async def test_a_sender_that_comes_back_late_writes_nothing(
    scene: OutboxScene, caplog: pytest.LogCaptureFixture
) -> None:
    """Another sender has a newer fencing token."""
    await scene.outbox.send(**payment())
    late = await claim(scene, lease=1)
    await scene.move(2)
    current = await claim(scene)
    assert current.fencing_token > late.fencing_token
    sender = scene.sender()
    await sender._finish(late, attempts.failed(NotFoundError(404), attempts=1, resuming=False))
    assert (await scene.instruction()).state == "in_doubt"
    assert "went to another sender" in caplog.text
    await sender._finish(current, attempts.interrupted())
    assert await trail(scene) == ["queued", "attempt", "attempt", "in_doubt"]


@pytest.mark.asyncio
async def test_a_sender_that_was_paused_before_its_request_looks_whether_its_lease_holds(scene: OutboxScene) -> None:
    """If half of the lease is over it is prolonged; if it is lost, nothing is sent."""
    await scene.outbox.send(**payment())
    sender = scene.sender(lease=10)
    ((held,), _) = await sender._claim(1, 0)
    await scene.move(6)
    await sender._work(held)
    assert len(await scene.payments()) == 1
    await scene.outbox.send(**payment(reference="invoice-2"))
    ((lost,), _) = await sender._claim(1, 0)
    await scene.move(11)
    await claim(scene)
    await sender._work(lost)
    assert len(await scene.payments()) == 1


# Evidence.


async def in_doubt(scene: OutboxScene, reference: str = "invoice-1", **changes: Any) -> None:
    """Queue a payment whose first attempt gets no response."""
    scene.bank.faults.add("cut_before", operation="send", times=1)
    await scene.outbox.send(**payment(reference=reference, **changes))
    await scene.work()
    assert (await scene.instruction(reference)).state == "in_doubt"


LIFETIME = 12 * 3600 + 1


@pytest.mark.asyncio
async def test_after_the_keys_lifetime_it_is_never_sent_again_and_waits_for_a_person(scene: OutboxScene) -> None:
    """Without a payment at the bank a person decides, with the evidence shown."""
    await in_doubt(scene)
    await scene.move(LIFETIME)
    assert await scene.work() == 1
    assert await scene.payments() == []
    waiting = await scene.instruction()
    assert (waiting.state, waiting.needs_person, waiting.attempts) == ("in_doubt", True, 1)
    assert waiting.evidence is not None
    assert (waiting.evidence["payments"], waiting.evidence["others_in_doubt"]) == ([], 0)
    assert (await scene.outbox.stats()).needs_person == 1
    assert [one.needs_person async for one in scene.outbox.instructions(needs_person=True)] == [True]
    resolved = await scene.outbox.resolve("invoice-1", by="ada", nothing_happened=True, reason="asked the bank")
    assert (resolved.state, resolved.outcome, resolved.needs_person) == ("refused", "refused", False)
    assert (await scene.outbox.history("invoice-1"))[-1].detail == "nothing happened: asked the bank"
    assert scene.observations[-1].needs_person


@pytest.mark.asyncio
async def test_one_payment_that_fits_resolves_it(scene: OutboxScene) -> None:
    """The same account number, counterparty, amount and time, and no other claimant."""
    scene.bank.faults.add("response_lost", operation="send", times=1)
    await scene.outbox.send(**payment())
    await scene.work()
    scene.bank.faults.add("server_error", operation="list", times=1)
    await scene.move(LIFETIME)
    await scene.work()
    assert (await scene.instruction()).state == "in_doubt"
    await scene.move(900)
    await scene.work()
    (sent,) = await scene.payments()
    accepted = await scene.instruction()
    assert (accepted.state, accepted.payment_id, accepted.needs_person) == ("accepted", sent.id, False)
    assert accepted.evidence is not None
    assert [one["id"] for one in accepted.evidence["payments"]] == [sent.id]


@pytest.mark.asyncio
async def test_two_claimants_of_one_payment_wait_for_a_person(scene: OutboxScene) -> None:
    """Nothing is guessed. A person says which it was, and then the other one has no payment."""
    scene.bank.faults.add("response_lost", operation="send", times=1)
    await scene.outbox.send(**payment())
    await in_doubt(scene, "invoice-2")
    assert (await scene.instruction()).state == "in_doubt"
    await scene.move(LIFETIME)
    await scene.work()
    first, second = await scene.instruction(), await scene.instruction("invoice-2")
    assert (first.needs_person, second.needs_person) == (True, True)
    (sent,) = await scene.payments()
    resolved = await scene.outbox.resolve("invoice-1", by="ada", payment_id=sent.id)
    assert (resolved.state, resolved.payment_id) == ("accepted", sent.id)
    with pytest.raises(InstructionStateError, match="belongs to invoice-1"):
        await scene.outbox.resolve("invoice-2", by="ada", payment_id=sent.id)
    await scene.move(3601)
    await scene.work()
    evidence = (await scene.instruction("invoice-2")).evidence
    assert evidence is not None
    assert evidence["payments"][0]["belongs_to_another"]


@pytest.mark.asyncio
async def test_a_key_that_the_bank_knows_with_another_request_is_not_sent_again(scene: OutboxScene) -> None:
    """It is no refusal: the payment is looked for."""
    queued = await scene.outbox.send(**payment())
    await scene.lead.instant_payments.send(
        account_number_id=ACCOUNT, amount=1, creditor=CREDITOR, creditor_agent=AGENT,
        idempotency_key=queued.idempotency_key,
    )  # fmt: skip
    await scene.work()
    waiting = await scene.instruction()
    assert (waiting.state, waiting.needs_person) == ("in_doubt", True)
    assert await trail(scene) == ["queued", "attempt", "in_doubt", "in_doubt"]


@pytest.mark.asyncio
async def test_what_is_still_asked_again_is_not_for_a_person(scene: OutboxScene) -> None:
    """While the key lives, and while a sender is at work, no person says that nothing happened."""
    await in_doubt(scene)
    with pytest.raises(InstructionStateError, match="still asked again"):
        await scene.outbox.resolve("invoice-1", by="ada", nothing_happened=True)
    await scene.move(5)
    await claim(scene)
    with pytest.raises(InstructionStateError, match="at work"):
        await scene.outbox.resolve("invoice-1", by="ada", payment_id="instant_payment_x")
    with pytest.raises(InstructionStateError, match="may have left"):
        await scene.outbox.withdraw("invoice-1", by="ada")


# The other operations.


async def incoming(scene: OutboxScene) -> InstantPayment:
    """Receive a payment."""
    await scene.lead.simulate.incoming(account_number_id=ACCOUNT, amount=7500, debtor=CREDITOR, debtor_agent=AGENT)
    await scene.move(60)
    return (await scene.lead.instant_payments.list(direction="incoming", limit=1)).objects[0]


OPERATIONS = ("return", "request_return", "reject_return_request", "cancel")


async def queue(scene: OutboxScene, operation: str) -> str:
    """Prepare a payment, queue an operation about it, and give the payment's ID."""
    if operation == "return":
        target = await incoming(scene)
        await scene.outbox.return_payment(target.id, reference="op", reason="duplication")
    elif operation == "reject_return_request":
        target = await incoming(scene)
        scene.bank.request_return(target.id)
        await scene.move(60)
        await scene.outbox.reject_return_request(target.id, reference="op", reason="customer_requested")
    else:
        target = await scene.lead.instant_payments.send(
            account_number_id=ACCOUNT, amount=5000, creditor=CREDITOR, creditor_agent=AGENT
        )
        if operation == "cancel":
            await scene.outbox.cancel(target.id, reference="op")
        else:
            await scene.move(60)
            await scene.outbox.request_return(target.id, reference="op", reason="fraud_suspected")
    return target.id


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", [None, "response_lost"])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_the_other_operations_happen_once(scene: OutboxScene, operation: str, fault: str | None) -> None:
    """With a response or without the first one."""
    target = await queue(scene, operation)
    if fault is not None:
        scene.bank.faults.add(fault, operation=operation, times=1)
    await scene.work()
    await scene.clock_only(10)
    await scene.work()
    done = await scene.instruction("op")
    assert done.state == "accepted"
    after = await scene.lead.instant_payments.retrieve(target)
    if operation == "return":
        assert after.return_payment_ids == (done.payment_id,)
    elif operation == "request_return":
        assert len(after.return_requests) == 1
    elif operation == "reject_return_request":
        assert (after.return_requests[0].status, done.outcome) == ("rejected", "rejected")
    else:
        assert (after.status, done.outcome) == ("canceled", "canceled")


@pytest.mark.asyncio
@pytest.mark.parametrize("happened", [True, False])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_the_payment_shows_whether_another_operation_happened(
    scene: OutboxScene, operation: str, happened: bool
) -> None:
    """After the key's lifetime the payment is read, and nothing is sent."""
    await queue(scene, operation)
    fault = "response_lost" if happened else "cut_before"
    # The second attempt of these two reads the payment first, and that is lost, too.
    scene.bank.faults.add(fault, operation=operation, times=1)
    await scene.work()
    await scene.move(LIFETIME)
    await scene.work()
    done = await scene.instruction("op")
    assert (done.state, done.needs_person) == (("accepted", False) if happened else ("in_doubt", True))


@pytest.mark.asyncio
async def test_an_operation_about_an_unknown_payment_has_no_evidence(scene: OutboxScene) -> None:
    """The bank has no such payment, so nothing fits."""
    scene.bank.faults.add("cut_before", operation="cancel", times=1)
    await scene.outbox.cancel("instant_payment_unknown", reference="op")
    await scene.work()
    await scene.move(LIFETIME)
    await scene.work()
    assert (await scene.instruction("op")).needs_person


# Following a payment to its end.


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("account_number", "outcome"),
    [("123456789", "arrived"), ("9900002001", "rejected"), ("9900004001", "returned")],
)
async def test_a_payment_is_looked_at_until_its_end(scene: OutboxScene, account_number: str, outcome: str) -> None:
    """Where no webhook tells, with growing pauses, and then no more."""
    await scene.outbox.send(**payment(creditor=Party(name="Ada Lovelace", account_number=account_number)))
    await scene.work()
    for _ in range(12):
        await scene.move(3600)
        await scene.work()
    ended = await scene.instruction()
    assert ended.outcome == outcome
    assert ended.next_at is None
    assert ended.is_final


@pytest.mark.asyncio
async def test_a_poll_that_fails_is_repeated(scene: OutboxScene) -> None:
    """The bank's failure pauses all senders, and the payment is looked at later."""
    await scene.outbox.send(**payment())
    await scene.work()
    scene.bank.faults.add("server_error", operation="retrieve", times=1)
    await scene.move(31)
    assert await scene.work() == 1
    assert (await scene.instruction()).outcome is None
    await scene.move(61)
    await scene.work()
    assert (await scene.instruction()).outcome == "arrived"


@pytest.mark.asyncio
async def test_the_end_of_other_operations_is_followed(scene: OutboxScene) -> None:
    """A return arrives; a return request is rejected, or the money comes back."""
    await queue(scene, "return")
    await scene.work()
    await scene.move(60)
    await scene.work()
    assert (await scene.instruction("op")).outcome == "arrived"


# A sender's life.


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop run until something is so."""
    while not condition():  # noqa: ASYNC110 - bounded by the test's own timeout
        await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_a_running_sender_takes_what_is_queued_and_waits_are_over(file_url: str) -> None:
    """Queued after it was started, each is sent and awaited."""
    async with open_outbox_scene(file_url) as scene, scene.sender() as sender:
        assert sender.is_running
        await scene.outbox.send(**payment())
        accepted = await scene.outbox.wait("invoice-1", until="accepted", timeout=10)
        assert accepted.state == "accepted"
    assert not sender.is_running


@pytest.mark.asyncio
async def test_the_rate_is_bounded(file_url: str) -> None:
    """With ``max_per_second`` each further attempt waits for its time."""
    async with open_outbox_scene(file_url) as scene:
        for number in range(3):
            await scene.outbox.send(**payment(reference=f"p{number}"))
        async with scene.sender(max_per_second=0.5):
            for count in (1, 2, 3):
                await scene.outbox.wait(f"p{count - 1}", until="accepted", timeout=10)
                assert (await scene.outbox.stats()).by_state.get("accepted") == count
                await until(lambda: scene.clock.sleepers >= 3)
                scene.clock.move(2)


@pytest.mark.asyncio
async def test_a_stop_finishes_what_was_begun_and_cancels_what_takes_too_long(file_url: str) -> None:
    """What is cancelled is in doubt at once, and needs no lease to end."""
    async with open_outbox_scene(file_url) as scene:
        scene.bank.faults.add("slow", operation="send", value=3600)
        await scene.outbox.send(**payment())
        sender = scene.sender(shutdown_timeout=0, concurrency=1)
        await sender.__aenter__()
        await until(lambda: len(sender._running) == 1)
        stopping = asyncio.create_task(sender.__aexit__())
        await until(lambda: scene.clock.sleepers >= 3)
        await scene.move(3600)
        await stopping
        stopped = await scene.instruction()
        assert (stopped.state, stopped.reason) == ("in_doubt", "the attempt was interrupted")


@pytest.mark.asyncio
async def test_leases_are_prolonged_and_a_lost_one_cancels_its_attempt(file_url: str) -> None:
    """While an attempt takes long no other sender begins one."""
    async with open_outbox_scene(file_url) as scene:
        scene.bank.faults.add("slow", operation="send", value=3600)
        await scene.outbox.send(**payment())
        sender = scene.sender(lease=30)
        async with sender:
            await until(lambda: len(sender._running) == 1)
            before = (await scene.instruction()).next_at
            scene.clock.move(10)
            await until(lambda: scene.clock.sleepers >= 2)
            while (await scene.instruction()).next_at == before:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.001)
            await scene.outbox.store.run(steal)
            scene.clock.move(10)
            await until(lambda: not sender._running)
        assert (await scene.instruction()).state == "sending"
        await scene.move(3600)


def steal() -> Plan[None]:
    """Give the lease to another sender."""
    yield Statement("UPDATE leadpay_instructions SET fencing_token = fencing_token + 1", {})


@pytest.mark.asyncio
async def test_a_store_that_fails_is_tried_again(file_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Claims, leases, purges: each failure is logged without a row, and the sender goes on."""
    async with open_outbox_scene(file_url) as scene:
        store: Any = scene.outbox.store
        flaky = Flaky(store)
        scene.outbox.store = flaky
        sender = scene.sender(lease=30)
        flaky.failing = True
        async with sender:
            await until(lambda: scene.clock.sleepers >= 3)
            scene.clock.move(60)
            await until(lambda: "leases were not prolonged" in caplog.text)
            flaky.failing = False
            scene.clock.move(60)
            await scene.outbox.send(**payment())
            await scene.outbox.wait("invoice-1", until="accepted", timeout=10)
            await until(lambda: scene.clock.sleepers >= 2)
            scene.clock.move(60)
            await until(lambda: any(isinstance(one, OutboxMeasured) for one in scene.observations))
        assert "the outbox cannot be worked on: OutboxError" in caplog.text
        assert "could not be purged or measured" in caplog.text


@pytest.mark.asyncio
async def test_a_result_that_cannot_be_written_down_leaves_the_lease_to_end(
    file_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The attempt is written down already, so nothing is lost."""
    async with open_outbox_scene(file_url) as scene:
        await scene.outbox.send(**payment())
        sender = scene.sender()
        ((claimed,), _) = await sender._claim(1, 0)
        flaky = Flaky(scene.outbox.store)
        scene.outbox.store = flaky
        flaky.failing = True
        await sender._work(claimed)
        flaky.failing = False
        assert "invoice-1 is left for later" in caplog.text
        assert (await scene.instruction()).state == "sending"
        await scene.move(91)
        await scene.work()
        assert (await scene.instruction()).state == "accepted"
        assert len(await scene.payments()) == 1


class Flaky:
    """A store that fails on demand."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.failing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def run(self, plan: Any, **options: Any) -> Any:
        """Fail, or do it."""
        if self.failing:
            raise OutboxError("the disk is full")
        return await self._store.run(plan, **options)


@pytest.mark.asyncio
async def test_it_runs_until_a_signal(file_url: str) -> None:
    """As a supervisor stops it."""
    async with open_outbox_scene(file_url) as scene:
        running = asyncio.create_task(scene.sender().run())
        await until(lambda: scene.clock.sleepers >= 2)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 10)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "options",
    [{"concurrency": 0}, {"max_per_second": 0}, {"lease": 0}, {"key_lifetime": timedelta()}, {"shutdown_timeout": -1},
     {"retention_days": 0}],
)  # fmt: skip
async def test_wrong_numbers_are_refused(memory_url: str, options: dict[str, Any]) -> None:
    """They are found out when the program starts."""
    async with open_outbox_scene(memory_url) as scene:
        with pytest.raises(ConfigurationError):
            scene.sender(**options)


# Responses that are mixed up.


@pytest.mark.asyncio
async def test_a_response_about_an_equal_payment_with_another_description_does_not_count(scene: OutboxScene) -> None:
    """The description may be all that tells two payments apart."""
    await scene.outbox.send(**payment(description="rent of May"))
    await scene.work()
    scene.bank.faults.add("foreign_response", operation="send", times=1)
    await scene.outbox.send(**payment(reference="invoice-2", description="rent of June"))
    await scene.work()
    assert (await scene.instruction("invoice-2")).state == "in_doubt"
    await scene.move(10)
    await scene.work()
    found = [await scene.instruction(f"invoice-{number}") for number in (1, 2)]
    assert [one.payment and one.payment.description for one in found] == ["rent of May", "rent of June"]


@pytest.mark.asyncio
async def test_two_responses_that_name_one_payment_are_asked_again(scene: OutboxScene) -> None:
    """One of them was to another request, and it cannot be told which; no payment belongs to two instructions."""
    await scene.outbox.send(**payment())
    await scene.work()
    scene.bank.faults.add("foreign_response", operation="send", times=1)
    await scene.outbox.send(**payment(reference="invoice-2"))
    await scene.work(concurrency=1)
    assert {one.state async for one in scene.outbox.instructions()} <= {"in_doubt", "accepted"}
    for _ in range(3):
        await scene.move(10)
        await scene.work(concurrency=1)
    found = [await scene.instruction(f"invoice-{number}") for number in (1, 2)]
    assert [one.state for one in found] == ["accepted", "accepted"]
    assert {one.payment_id for one in found} == {one.id for one in await scene.payments()}


@pytest.mark.asyncio
async def test_responses_that_stay_mixed_up_are_left_to_evidence(scene: OutboxScene) -> None:
    """The owner keeps its payment then, and a person looks at the other one."""
    await scene.outbox.send(**payment())
    await scene.work()
    (sent,) = await scene.payments()
    await scene.outbox.send(**payment(reference="invoice-2"))
    await scene.outbox.store.run(often_tried)
    claimed = await claim(scene)
    assert claimed.instruction.reference == "invoice-2"
    await scene.sender()._finish(claimed, attempts.accepted(sent))
    await scene.move(2)
    await scene.work()
    first, second = await scene.instruction(), await scene.instruction("invoice-2")
    assert (first.payment_id, second.needs_person) == (sent.id, True)


def often_tried() -> Plan[None]:
    """Have many attempts behind it."""
    yield Statement("UPDATE leadpay_instructions SET attempts = 10 WHERE reference = 'invoice-2'", {})

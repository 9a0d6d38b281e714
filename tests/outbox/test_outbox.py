"""The contract of the outbox's own half, on every store: queuing, guards, what people do, reading."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leadpay.errors import (
    ConfigurationError,
    InstructionStateError,
    InvalidRequestError,
    OutboxError,
    ReferenceReusedError,
)
from leadpay.models import Agent, Party
from leadpay.outbox import Limits, Outbox
from leadpay.outbox.content import MAX_REFERENCE
from leadpay.outbox.store import Plan, Statement
from tests.support.inbox import NOW, HandClock
from tests.support.joins import JOINS
from tests.support.outbox import ACCOUNT, AGENT, CREDITOR, existing, manual_outbox, payment

DAY = 86_400.0


async def references(outbox: Outbox, **wanted: Any) -> list[str]:
    """List the references that a filter finds, in its order."""
    return [one.reference async for one in outbox.instructions(**wanted)]


async def actions(outbox: Outbox, reference: str = "invoice-1") -> list[tuple[str, str | None]]:
    """List what the audit trail says, and who did it."""
    return [(one.action, one.by) for one in await outbox.history(reference)]


@pytest.mark.asyncio
async def test_a_payment_is_queued_with_all_that_is_sent(outbox: Outbox) -> None:
    """The instruction keeps its content, and one key that is made from the reference."""
    queued = await outbox.send(**payment(description="rent", priority=7, by="ada"))
    assert (queued.state, queued.operation, queued.outcome, queued.attempts) == ("queued", "send", None, 0)
    assert (queued.account_number_id, queued.amount, queued.priority) == (ACCOUNT, 5000, 7)
    assert queued.content == {
        "account_number_id": ACCOUNT,
        "amount": 5000,
        "currency_code": "USD",
        "creditor": {"name": "Ada Lovelace", "account_number": "123456789"},
        "creditor_agent": {"routing_number": "111000111"},
        "description": "rent",
    }
    assert len(queued.idempotency_key) == 32
    assert queued.created_at == datetime.fromtimestamp(NOW, UTC)
    assert await outbox.get("invoice-1") == queued
    assert await actions(outbox) == [("queued", "ada")]


@pytest.mark.asyncio
async def test_the_same_reference_with_the_same_content_is_the_same_instruction(outbox: Outbox) -> None:
    """Calling again is safe, also at the same time."""
    first, *others = await asyncio.gather(*(outbox.send(**payment()) for _ in range(5)))
    assert all(other == first for other in others)
    assert await references(outbox) == ["invoice-1"]
    assert await actions(outbox) == [("queued", None)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"amount": 5001}, ("amount",)),
        ({"creditor": Party(name="Ada Lovelace", account_number="987654321")}, ("creditor.account_number",)),
        ({"creditor_agent": Agent(routing_number="222000222"), "description": "x"},
         ("creditor_agent.routing_number", "description")),
    ],
)  # fmt: skip
async def test_a_reference_that_is_used_again_names_the_fields(
    outbox: Outbox, changes: dict[str, Any], fields: tuple[str, ...]
) -> None:
    """With other content nothing is queued, and no value is shown."""
    await outbox.send(**payment())
    with pytest.raises(ReferenceReusedError) as raised:
        await outbox.send(**payment(**changes))
    assert (raised.value.fields, raised.value.reference) == (fields, "invoice-1")
    assert "987654321" not in str(raised.value)
    assert (await existing(outbox)).amount == 5000


@pytest.mark.asyncio
async def test_a_reference_of_another_operation_or_payment_is_reused(outbox: Outbox) -> None:
    """A reference stands for one decision."""
    await outbox.cancel("instant_payment_1", reference="invoice-1")
    with pytest.raises(ReferenceReusedError, match="another operation"):
        await outbox.send(**payment())
    with pytest.raises(ReferenceReusedError, match="another payment_id"):
        await outbox.cancel("instant_payment_2", reference="invoice-1")


@pytest.mark.asyncio
async def test_the_other_operations_are_queued(outbox: Outbox) -> None:
    """Returns, return requests, their rejections and cancellations keep the payment that they are about."""
    queued = [
        await outbox.return_payment("instant_payment_1", reference="r1", reason="duplication"),
        await outbox.request_return("instant_payment_2", reference="r2", reason="duplication"),
        await outbox.reject_return_request(
            "instant_payment_3", reference="r3", reason="narrative", additional_information="no"
        ),
        await outbox.cancel("instant_payment_4", reference="r4"),
    ]
    assert [one.operation for one in queued] == ["return", "request_return", "reject_return_request", "cancel"]
    assert [one.target_payment_id for one in queued] == [f"instant_payment_{number}" for number in (1, 2, 3, 4)]
    assert queued[2].content == {"reason": "narrative", "additional_information": "no"}
    assert queued[3].content == {}
    assert await references(outbox, target_payment_id="instant_payment_2") == ["r2"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"reference": ""}, "reference"),
        ({"reference": "x" * (MAX_REFERENCE + 1)}, "reference"),
        ({"reference": " x"}, "reference"),
        ({"reference": "a\x00b"}, "reference"),
        ({"reference": 5}, "reference"),
        ({"priority": True}, "priority"),
        ({"priority": 10**7}, "priority"),
        ({"amount": 50.0}, "amount"),
        ({"account_number_id": "x"}, "account_number_id"),
        ({"creditor": Party(name="A", account_number="1")}, "creditor.name"),
        ({"currency_code": "EUR"}, "currency_code"),
        ({"description": "x" * 141}, "description"),
    ],
)
async def test_what_the_client_refuses_is_not_queued(outbox: Outbox, changes: dict[str, Any], parameter: str) -> None:
    """A payment is checked as ``lead.instant_payments.send`` checks it, before anything is written."""
    with pytest.raises(InvalidRequestError) as raised:
        await outbox.send(**payment(**changes))
    assert [problem.parameter for problem in raised.value.problems] == [parameter]
    assert await references(outbox) == []


@pytest.mark.asyncio
async def test_many_are_queued_together_or_not_at_all(outbox: Outbox) -> None:
    """One that raises takes the others with it."""
    from leadpay.outbox import content  # noqa: PLC0415 - the test's subject is outbox.add_all

    def new(reference: str, amount: int = 1) -> Any:
        given: dict[str, Any] = {"description": None, "currency_code": "USD", "priority": 0}
        return content.send(**{**given, **payment(reference=reference, amount=amount)})

    assert len(await outbox.add_all([new("a"), new("b")], by="ada")) == 2
    with pytest.raises(ReferenceReusedError):
        await outbox.add_all([new("c"), new("a", 2)])
    assert await references(outbox) == ["b", "a"]


@pytest.mark.asyncio
async def test_a_probe_changes_nothing(outbox: Outbox) -> None:
    """It only needs a database that can write."""
    before = await outbox.stats()
    await outbox.probe()
    assert await outbox.stats() == before


@pytest.mark.asyncio
async def test_a_closed_outbox_says_so(outbox_url: str, clock: HandClock) -> None:
    """Nothing is queued in an outbox that was not entered."""
    outbox = manual_outbox(outbox_url, clock)
    with pytest.raises(OutboxError, match="'async with'"):
        await outbox.send(**payment())
    with pytest.raises(OutboxError, match="the outbox is not open"):
        await outbox.get("invoice-1")


# Guards.


@pytest.mark.asyncio
async def test_a_payment_above_its_limit_is_held_until_it_is_approved(outbox_url: str, clock: HandClock) -> None:
    """An approval lets it go, and is in the audit trail."""
    async with manual_outbox(outbox_url, clock, limits=Limits(per_payment=4999)) as outbox:
        held = await outbox.send(**payment(by="ada"))
        assert (held.state, held.reason, held.next_at) == (
            "held", "above the limit of 4999 cents for one payment", None
        )  # fmt: skip
        assert await existing(outbox) == held
        approved = await outbox.approve("invoice-1", by=" bob ")
        assert (approved.state, approved.reason) == ("queued", None)
        assert await actions(outbox) == [("held", "ada"), ("approved", "bob")]
        with pytest.raises(InstructionStateError, match="is queued, and not held"):
            await outbox.approve("invoice-1", by="bob")


@pytest.mark.asyncio
async def test_limits_of_a_day_hold_and_begin_anew_at_midnight_in_new_york(outbox_url: str, clock: HandClock) -> None:
    """What is held, withdrawn or of another account number counts for nothing."""
    limits = {ACCOUNT: Limits(per_day=100)}
    async with manual_outbox(outbox_url, clock, limits=limits) as outbox:

        async def state(reference: str, amount: int, **changes: Any) -> str:
            return (await outbox.send(**payment(reference=reference, amount=amount, **changes))).state

        assert await state("a", 60) == "queued"
        assert await state("b", 41) == "held"
        assert await state("c", 40) == "queued"
        assert await state("d", 1) == "held"
        assert await state("e", 500, account_number_id="account_number_other") == "queued"
        await outbox.withdraw("a", by="ada")
        assert await state("f", 60) == "queued"
        await outbox.approve("b", by="ada")
        assert await state("g", 1) == "held"
        clock.move(DAY)
        assert await state("h", 100) == "queued"


@pytest.mark.asyncio
async def test_limits_of_a_creditors_day_hold(outbox_url: str, clock: HandClock) -> None:
    """One counterparty gets no more than its limit, under whatever name."""
    async with manual_outbox(outbox_url, clock, limits=Limits(per_creditor_per_day=100)) as outbox:
        other = Party(name="Someone else", account_number="1")
        first = await outbox.send(**payment(reference="a", amount=60))
        renamed = Party(name="Countess", account_number=CREDITOR.account_number)
        held = await outbox.send(**payment(reference="b", amount=60, creditor=renamed))
        third = await outbox.send(**payment(reference="c", amount=60, creditor=other))
    assert [one.state for one in (first, held, third)] == ["queued", "held", "queued"]
    assert held.reason == "above the limit of 100 cents for a creditor a day"


@pytest.mark.asyncio
async def test_the_limit_of_a_day_holds_under_concurrency(outbox_url: str, clock: HandClock) -> None:
    """However many queue at once, what goes stays within the limit, to the cent."""
    async with manual_outbox(outbox_url, clock, limits=Limits(per_day=1000)) as outbox:
        queued = await asyncio.gather(
            *(outbox.send(**payment(reference=f"p{number}", amount=90)) for number in range(20))
        )
    assert sorted(one.state for one in queued) == ["held"] * 9 + ["queued"] * 11


@pytest.mark.asyncio
async def test_a_suspected_duplicate_is_held_with_its_reason(outbox_url: str, clock: HandClock) -> None:
    """The same account number, counterparty and amount within the time, unless the earlier one was taken back."""
    async with manual_outbox(outbox_url, clock, suspect_duplicates=timedelta(hours=24)) as outbox:
        await outbox.send(**payment(reference="a"))
        held = await outbox.send(**payment(reference="b"))
        assert (held.state, held.reason) == ("held", "looks like a duplicate of a")
        assert (await outbox.send(**payment(reference="c", amount=1))).state == "queued"
        clock.move(DAY + 1)
        assert (await outbox.send(**payment(reference="d"))).state == "queued"
        clock.move(DAY + 1)
        await outbox.send(**payment(reference="e"))
        await outbox.withdraw("e", by="ada")
        assert (await outbox.send(**payment(reference="f"))).state == "queued"


@pytest.mark.asyncio
async def test_duplicates_that_are_queued_at_once_are_suspected(outbox_url: str, clock: HandClock) -> None:
    """Of ten equal payments at the same time, one goes."""
    async with manual_outbox(outbox_url, clock, suspect_duplicates=timedelta(hours=1)) as outbox:
        queued = await asyncio.gather(*(outbox.send(**payment(reference=f"p{number}")) for number in range(10)))
    assert sorted(one.state for one in queued) == ["held"] * 9 + ["queued"]


@pytest.mark.asyncio
async def test_two_people_are_needed(outbox_url: str, clock: HandClock) -> None:
    """Who queued an instruction doesn't approve it; where that is not known, two people approve."""
    async with manual_outbox(outbox_url, clock, limits=Limits(per_payment=1), two_people=True) as outbox:
        await outbox.send(**payment(by="Ada"))
        with pytest.raises(InstructionStateError, match="another person than Ada"):
            await outbox.approve("invoice-1", by="ada ")
        assert (await outbox.approve("invoice-1", by="bob")).state == "queued"
        await outbox.send(**payment(reference="unknown"))
        assert (await outbox.approve("unknown", by="ada")).state == "held"
        with pytest.raises(InstructionStateError, match="another person than ada"):
            await outbox.approve("unknown", by="ADA")
        assert (await outbox.approve("unknown", by="bob")).state == "queued"


# By hand.


@pytest.mark.asyncio
async def test_an_instruction_is_withdrawn_once(outbox: Outbox) -> None:
    """It is final then, and withdrawing it again changes nothing."""
    await outbox.send(**payment())
    withdrawn = await outbox.withdraw("invoice-1", by="ada", reason="typo")
    assert (withdrawn.state, withdrawn.outcome, withdrawn.reason, withdrawn.is_final) == (
        "withdrawn", "withdrawn", "typo", True
    )  # fmt: skip
    assert await outbox.withdraw("invoice-1", by="bob") == withdrawn
    assert await actions(outbox) == [("queued", None), ("withdrawn", "ada")]


@pytest.mark.asyncio
async def test_what_people_do_needs_an_instruction_and_a_name(outbox: Outbox) -> None:
    """An unknown reference and an empty name are refused."""
    with pytest.raises(InstructionStateError, match="nothing: is not in the outbox") as raised:
        await outbox.approve("nothing", by="ada")
    assert raised.value.reference == "nothing"
    for name in ("", " ", "a\nb", "x" * 201, None):
        with pytest.raises(ConfigurationError, match="by: must be a name"):
            await outbox.withdraw("invoice-1", by=name)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ConfigurationError, match="either"):
        await outbox.resolve("invoice-1", by="ada")
    await outbox.send(**payment())
    with pytest.raises(InstructionStateError, match="is queued"):
        await outbox.resolve("invoice-1", by="ada", nothing_happened=True)


@pytest.mark.asyncio
async def test_the_audit_trail_cannot_be_changed(outbox: Outbox) -> None:
    """The database itself refuses to change or delete a line."""
    await outbox.send(**payment())

    def changing(sql: str) -> Any:
        def plan() -> Plan[None]:
            yield Statement(sql, {})

        return plan

    for sql in ("UPDATE leadpay_instruction_log SET actor = 'eve'", "DELETE FROM leadpay_instruction_log"):
        with pytest.raises(OutboxError):
            await outbox.store.run(changing(sql))
    assert await actions(outbox) == [("queued", None)]


# Reading.


@pytest.mark.asyncio
async def test_instructions_are_listed_by_page_newest_first(outbox: Outbox, clock: HandClock) -> None:
    """Filters, cursors and limits go together; with ``after`` the oldest come first."""
    for number in range(205):
        await outbox.send(**payment(reference=f"p{number}", amount=number % 2))
        clock.move(1)
    assert await references(outbox) == [f"p{number}" for number in reversed(range(205))]
    assert await references(outbox, amount=1, limit=2) == ["p203", "p201"]
    p203 = (await existing(outbox, "p203")).number
    assert await references(outbox, before=p203, limit=1) == ["p202"]
    assert await references(outbox, after=p203) == ["p204"]
    assert len(await references(outbox, after=0, account_number_id=ACCOUNT, operation="send", state="queued")) == 205
    assert await references(outbox, state="held") == []
    assert await references(outbox, needs_person=True) == []
    assert await references(outbox, payment_id="instant_payment_x") == []
    assert await references(outbox, outcome="arrived") == []
    start = datetime.fromtimestamp(NOW, UTC)
    since = timedelta(seconds=1)
    assert await references(outbox, created_from=start + since, created_before=start + 3 * since) == ["p2", "p1"]


@pytest.mark.asyncio
async def test_stats_count(outbox: Outbox) -> None:
    """By state and by outcome, with the time of the oldest that is queued."""
    await outbox.send(**payment(reference="a"))
    await outbox.send(**payment(reference="b"))
    await outbox.withdraw("b", by="ada")
    stats = await outbox.stats()
    assert stats.by_state == {"queued": 1, "withdrawn": 1}
    assert stats.by_outcome == {"withdrawn": 1}
    assert (stats.needs_person, stats.paused_until) == (0, None)
    assert stats.oldest_queued == datetime.fromtimestamp(NOW, UTC)


@pytest.mark.asyncio
async def test_an_unknown_reference_has_nothing_to_show(outbox: Outbox) -> None:
    """Neither an instruction nor an audit trail, and nothing to wait for."""
    assert await outbox.get("nothing") is None
    assert await outbox.history("nothing") == []
    with pytest.raises(InstructionStateError):
        await outbox.wait("nothing")
    with pytest.raises(ConfigurationError, match="until"):
        await outbox.wait("nothing", until="done")  # type: ignore[arg-type]  # on purpose


@pytest.mark.asyncio
async def test_a_purge_empties_what_ended_long_ago(outbox: Outbox, clock: HandClock) -> None:
    """References, states and audit trails stay, and a reference that is used again is still noticed."""
    for number in range(3):
        await outbox.send(**payment(reference=f"p{number}"))
    await outbox.withdraw("p0", by="ada")
    clock.move(DAY)
    await outbox.withdraw("p1", by="ada")
    assert await outbox.purge(before=datetime.fromtimestamp(NOW + 1, UTC)) == 1
    purged = await existing(outbox, "p0")
    assert (purged.content, purged.state, purged.amount) == (None, "withdrawn", 5000)
    assert (await existing(outbox, "p1")).content is not None
    assert await outbox.send(**payment(reference="p0")) == purged
    with pytest.raises(ReferenceReusedError, match="content"):
        await outbox.send(**payment(reference="p0", amount=1))


@pytest.mark.asyncio
async def test_waiting_ends_when_it_can_come_no_further(outbox: Outbox) -> None:
    """A withdrawal ends a wait at once, and a wait without an end is bounded by its timeout."""
    await outbox.send(**payment())
    with pytest.raises(TimeoutError):
        await outbox.wait("invoice-1", until="accepted", timeout=0.01)
    waiting = asyncio.create_task(outbox.wait("invoice-1", until="arrived", timeout=10))
    await asyncio.sleep(0)
    await outbox.withdraw("invoice-1", by="ada")
    assert (await waiting).outcome == "withdrawn"


@pytest.mark.asyncio
async def test_a_repr_shows_no_name_account_number_or_key(outbox: Outbox) -> None:
    """Instructions and outboxes are logged."""
    queued = await outbox.send(**payment(description="secret rent"))
    shown = repr(queued) + repr(outbox) + repr(outbox.store)
    assert "invoice-1" in shown
    for private in ("Lovelace", "123456789", queued.idempotency_key, "secret rent", AGENT.routing_number):
        assert private not in shown


# In the user's own transaction; tests/storage/test_foreign.py tries every driver.


class RollBackError(Exception):
    """Is raised to roll back."""


@pytest.mark.asyncio
@pytest.mark.parametrize("driver", JOINS)
async def test_an_instruction_is_queued_if_and_when_the_user_commits(
    driver: str, tmp_path: Path, request: pytest.FixtureRequest, clock: HandClock
) -> None:
    """Each driver joins a transaction that is rolled back, and one that commits."""
    dialect, joined = JOINS[driver]
    is_file = dialect == "sqlite"
    url = f"sqlite:///{tmp_path / 'o.db'}" if is_file else str(request.getfixturevalue("postgres_url"))
    limits = Limits(per_day=5000)
    async with manual_outbox(url, clock, limits=limits, suspect_duplicates=timedelta(hours=1)) as outbox:
        with pytest.raises(RollBackError):  # noqa: PT012 - what raises is at its end
            async with joined(url) as connection:
                assert (await outbox.send(**payment(), connection=connection)).state == "queued"
                raise RollBackError
        assert await outbox.get("invoice-1") is None
        async with joined(url) as connection:
            queued = await outbox.send(**payment(), connection=connection)
            assert await outbox.send(**payment(), connection=connection) == queued
            with pytest.raises(ReferenceReusedError):
                await outbox.send(**payment(amount=1), connection=connection)
            held = await outbox.send(**payment(reference="invoice-2"), connection=connection)
            assert held.state == "held"
        assert await references(outbox) == ["invoice-2", "invoice-1"]
        assert await existing(outbox) == queued
        assert await actions(outbox, "invoice-2") == [("held", None)]


@pytest.mark.asyncio
async def test_a_connection_that_cannot_be_joined_is_refused(outbox: Outbox) -> None:
    """Nothing is queued."""
    with pytest.raises(ConfigurationError, match="no connection that can be joined"):
        await outbox.send(**payment(), connection="postgresql://")
    assert await references(outbox) == []


@pytest.mark.asyncio
async def test_a_store_whose_namespace_cannot_be_read_is_closed(tmp_path: Path, clock: HandClock) -> None:
    """Nothing is left open."""
    outbox = manual_outbox(f"sqlite:///{tmp_path / 'o.db'}", clock)
    async with outbox:
        await outbox.store.run(emptying)
    with pytest.raises(ValueError, match="unpack"):
        await outbox.__aenter__()
    with pytest.raises(OutboxError, match="not open"):
        await outbox.get("invoice-1")


def emptying() -> Plan[None]:
    """Delete what the keys are made of, as no program does."""
    yield Statement("DELETE FROM leadpay_outbox_bank", {})

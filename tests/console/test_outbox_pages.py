"""The outbox's pages: instructions with their logs; approve, withdraw and resolve, with who and why."""

import pytest

from leadpay.console.outbox_pages import PAGE
from leadpay.outbox.sender import Sender
from tests.console.program import Program

ODD = "invoice 1/2?<b>"


@pytest.mark.asyncio
async def test_instructions_are_listed_by_state(program: Program) -> None:
    """A page goes on from the last row."""
    visitor = program.visitor
    assert "No instructions" in (await visitor.get("/instructions")).words
    for number in range(PAGE + 5):
        await program.queue(f"invoice-{number}")
    await program.queue("large", amount=100_001)
    page = await visitor.get("/instructions")
    assert page.text.count('<tr id="i-') == PAGE
    older = page.text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert (await visitor.get(older)).text.count('<tr id="i-') == 6
    held = await visitor.get("/instructions?state=held")
    assert held.text.count('<tr id="i-') == 1
    assert "above the limit" in held.words
    assert (await visitor.get("/instructions?needs=person&before=x")).text.count('<tr id="i-') == 0


@pytest.mark.asyncio
async def test_an_instruction_is_shown_masked(program: Program) -> None:
    """Whatever its reference is; names are revealed one by one, and its key is never shown."""
    visitor = program.visitor
    await program.queue(ODD)
    page = await visitor.get("/instructions")
    path = page.text.partition('<a class="row break" href="')[2].partition('"')[0]
    page = await visitor.get(path)
    assert "Queued" in page.words
    assert "by billing" in page.words
    assert "Maria" not in page.text
    instruction = await program.outbox.get(ODD)
    assert instruction is not None
    assert instruction.idempotency_key not in page.text
    shown = await visitor.submit(path, page, path="creditor.name")
    assert "<mark>Maria Nowak</mark>" in shown.text
    assert (await visitor.get("/instructions/nothing")).status == 404
    assert (await visitor.get(f"{path}/explode")).status == 404


@pytest.mark.asyncio
async def test_a_held_instruction_is_approved_or_withdrawn(program: Program) -> None:
    """Who and why are in its log; what is not held any more cannot be approved."""
    visitor = program.visitor
    for reference, action, state in (("a", "approve", "queued"), ("b", "withdraw", "withdrawn")):
        await program.queue(reference, amount=100_001)
        path = f"/instructions/{reference}/{action}"
        question = await visitor.get(path)
        assert "Send of $1,000.01" in question.words
        done = await visitor.submit(path, question, reason="checked by phone")
        assert done.status == 200
        found = await program.outbox.get(reference)
        assert found is not None
        assert found.state == state
        last = (await program.outbox.history(reference))[-1]
        assert last.by == "local"
        assert "checked by phone" in (last.detail or "")
        assert "by local" in done.words
    again = await visitor.submit("/instructions/b/approve", await visitor.get("/instructions/b/approve"), reason="x")
    assert (again.status, "not held" in again.words) == (400, True)


@pytest.mark.asyncio
async def test_what_cannot_be_done_is_said(program: Program) -> None:
    """An instruction that is queued is not open to be resolved, and an accepted one has left."""
    visitor = program.visitor
    await program.queue("a")
    path = "/instructions/a/resolve"
    question = await visitor.get(path)
    both = await visitor.submit(
        path, question, reason="x", verdict="it was surely not executed", payment_id="instant_payment_1"
    )
    assert (both.status, "Either name the payment" in both.words) == (400, True)
    for fields in ({"payment_id": "instant_payment_1"}, {"verdict": "it was surely not executed"}):
        refused = await visitor.submit(path, await visitor.get(path), reason="x", **fields)
        assert refused.status == 400
    await program.outbox.withdraw("a", by="billing")
    await program.queue("c")
    withdrawn = await visitor.submit(
        "/instructions/a/withdraw", await visitor.get("/instructions/a/withdraw"), reason="x"
    )
    assert withdrawn.status == 200
    await Sender(program.outbox, program.scene.lead).run_due()
    left = await visitor.submit("/instructions/c/withdraw", await visitor.get("/instructions/c/withdraw"), reason="x")
    assert (left.status, "may have left" in left.words) == (400, True)

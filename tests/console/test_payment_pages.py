"""The payments of a program: a list from the newest events, each payment as a timeline, and return requests."""

import asyncio

import pytest

from leadpay.console import loopback, payment_pages
from leadpay.console.app import listening, make
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.models import Agent, Party
from tests.console.program import Program
from tests.console.visitor import Page, Visitor, visiting
from tests.support.inbox import RECEIVED
from tests.support.scene import Scene


def rows(page: Page) -> int:
    """How many payments a list shows."""
    return page.text.count('<tr id="p-')


@pytest.mark.asyncio
async def test_each_payment_has_one_row(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """As its newest event tells; filters and search look at a bounded number of events, and go on after them."""
    visitor = program.visitor
    empty = await visitor.get("/")
    assert empty.url.endswith("/payments")
    assert "No event has been stored yet" in empty.words
    scene = program.scene
    sent = await scene.send(amount=123456)
    scene.bank.next_payment("rejected_by_lead:other")
    await scene.send(amount=2500)
    await scene.clock.advance(10)
    await program.take_over()
    await program.receive("event_other")
    assert rows(await visitor.get("/payments")) == 2
    for query, found in {
        "direction=outgoing": 2,
        "direction=incoming": 0,
        "status=rejected": 1,
        "status=nonsense": 2,
        "q=1234.56": 1,
        f"q={sent.id}": 1,
        "q=nothing": 0,
    }.items():
        assert rows(await visitor.get(f"/payments?{query}")) == found, query
    assert rows(await visitor.get("/payments?before=999999")) == 2
    last = [event.number async for event in program.inbox.events()][-2]
    assert rows(await visitor.get(f"/payments?before={last}")) == 0
    monkeypatch.setattr(payment_pages, "SCAN", 2)
    first = await visitor.get("/payments?status=posted")
    assert "2 events were looked at" in first.words
    following = first.text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert following
    monkeypatch.setattr(payment_pages, "PAGE", 1)
    assert rows(await visitor.get("/payments")) <= 1


@pytest.mark.asyncio
async def test_exact_names_are_found_at_once(program: Program) -> None:
    """Event, payment, instruction, and the amount of an instruction."""
    visitor = program.visitor
    await program.receive("event_1", payment="instant_payment_1")
    await program.queue("invoice-1", amount=4321)
    for text, link in {
        "event_1": "/events/event_1",
        "instant_payment_1": "/payments/instant_payment_1",
        "invoice-1": "/instructions/invoice-1",
        "$43.21": "/instructions/invoice-1",
    }.items():
        page = await visitor.get("/payments", params={"q": text})
        assert f'<a class="break" href="{link}">' in page.text, text


@pytest.mark.asyncio
async def test_a_payment_has_events_and_instructions(program: Program) -> None:
    """Its timeline, its instruction, what the bank shows now; what is not known is 404."""
    visitor, scene = program.visitor, program.scene
    payment = await scene.send()
    await scene.clock.advance(10)
    await program.take_over()
    await program.work()
    path = f"/payments/{payment.id}"
    words = (await visitor.get(path)).words
    for text in ("Outgoing payment", "Created", "Event: posted", "credit dead", "1 attempt: builtins.KeyError"):
        assert text in words, text
    await program.outbox.cancel(payment.id, reference="cancel-1")
    assert "cancel-1" in (await visitor.get(path)).words
    shown = await visitor.submit(path, await visitor.get(path), path="creditor.name")
    assert "<mark>Alex Smith</mark>" in shown.text
    assert "As the bank shows it now" in (await visitor.get(f"{path}?ask=bank")).words
    assert (await visitor.get("/payments/nothing")).status == 404
    problem = await visitor.get("/payments/nothing?ask=bank")
    assert problem.status == 404
    await program.inbox.add_unreadable("event_odd", b"{}", ["x"], received_at=RECEIVED)
    assert "cannot be read" in (await visitor.get("/payments/event_odd")).words


@pytest.mark.asyncio
async def test_a_bank_that_does_not_respond_is_said(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page shows what is known here."""
    visitor, scene = program.visitor, program.scene
    payment = await scene.send()
    await scene.clock.advance(10)
    await program.take_over()
    path = f"/payments/{payment.id}?ask=bank"
    scene.bank.faults.add("proxy_error:retrieve")
    monkeypatch.setattr(payment_pages, "BANK_TIMEOUT", 0.0)
    assert "did not respond within 0 seconds" in (await visitor.get(path)).words
    scene.bank.faults.clear()
    monkeypatch.undo()
    scene.bank.faults.add("source_ip_refused:retrieve")
    assert "The bank did not show it: PermissionDeniedError" in (await visitor.get(path)).words


async def receive_request(program: Program) -> str:
    """Receive a payment whose return is requested."""
    scene = program.scene
    await scene.lead.simulate.incoming(
        account_number_id="account_number_1",
        amount=7500,
        debtor=Party(name="Alex Smith", account_number="12345678"),
        debtor_agent=Agent(routing_number="111000111"),
    )
    await scene.clock.advance(10)
    payment_id = scene.bank.bank.payments.all()[-1].id
    scene.bank.request_return(payment_id, "duplication")
    await scene.clock.advance(10)
    await program.take_over()
    return payment_id


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("verdict", "code", "operation"),
    [("return", "honor_return_request", "return"), ("reject", "customer_requested", "reject_return_request")],
)
async def test_a_return_request_is_responded_to(verdict: str, code: str, operation: str, program: Program) -> None:
    """With an outbox, one instruction is queued, however often the button is pressed."""
    visitor = program.visitor
    payment_id = await receive_request(program)
    page = await visitor.get(f"/payments/{payment_id}")
    assert f"/payments/{payment_id}/respond?with={verdict}" in page.text
    assert "Return request response needed" in page.words
    path = f"/payments/{payment_id}/respond?with={verdict}"
    question = await visitor.get(path)
    assert "$75.00" in question.words
    wrong = await visitor.submit(path, question, reason="x", code="nonsense")
    assert wrong.status == 400
    done = await visitor.submit(path, wrong, reason="the customer agrees", code=code)
    assert "on its way to the bank" in done.words
    await visitor.submit(path, await visitor.get(path), reason="the customer agrees", code=code)
    found = [one async for one in program.outbox.instructions()]
    assert [(one.operation, one.target_payment_id) for one in found] == [(operation, payment_id)]
    async for event in program.inbox.events(ordering_key=payment_id, limit=1):
        assert (await program.inbox.notes(event.number))[0].reason == "the customer agrees"


@pytest.mark.asyncio
@pytest.mark.parametrize(("verdict", "code"), [("return", "honor_return_request"), ("reject", "customer_requested")])
async def test_without_an_outbox_the_bank_is_told(verdict: str, code: str, program: Program) -> None:
    """At once, with the client; a refusal of the bank is shown."""
    payment_id = await receive_request(program)
    path = f"/payments/{payment_id}/respond?with={verdict}"
    bank = program.scene.bank
    console = make(inbox=program.inbox, lead=program.scene.lead, auth=loopback)
    async with listening(console) as url, visiting(url) as visitor:
        # A refusal of a keyed write on a kept connection is confirmed by a second one.
        bank.faults.add(f"source_ip_refused:*:{2 if verdict == 'return' else 1}")
        refused = await visitor.submit(path, await visitor.get(path), reason="x", code=code)
        assert (refused.status, "PermissionDeniedError" in refused.words) == (400, True)
        await visitor.submit(path, refused, reason="x", code=code)
    payment = bank.bank.retrieve(payment_id)
    if verdict == "return":
        assert len(payment.return_payment_ids) == 1
    else:
        assert payment.return_requests[-1].status == "rejected"


@pytest.mark.asyncio
async def test_there_is_nothing_to_respond_to(program: Program) -> None:
    """No such request, or nothing to respond with."""
    await program.receive("event_other")
    for path in ("/payments/nothing/respond?with=return", "/payments/event_other/respond?with=return"):
        assert (await program.visitor.get(path)).status == 404
    payment_id = await receive_request(program)
    async with listening(make(inbox=program.inbox, auth=loopback)) as url, visiting(url) as visitor:
        assert "respond" not in (await visitor.get(f"/payments/{payment_id}")).text
        assert (await visitor.get(f"/payments/{payment_id}/respond?with=return")).status == 404
        assert rows(await visitor.get("/payments?q=nothing")) == 0
        assert "As the bank" not in (await visitor.get(f"/payments/{payment_id}?ask=bank")).words
    async with listening(make(outbox=program.outbox, auth=loopback)) as url, visiting(url) as visitor:
        await program.outbox.return_payment(payment_id, reference="r", reason="duplication")
        assert "Return r queued" in (await visitor.get(f"/payments/{payment_id}")).words
        assert rows(await visitor.get("/payments?q=r")) == 0
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_only_operators_act(program: Program, scene: Scene) -> None:
    """A reader gets no confirmation, and no button."""

    async def auth(_: object) -> object:
        from leadpay.console import User  # noqa: PLC0415 - only here

        return User("Ann")

    payment_id = await receive_request(program)
    await program.queue("large", amount=100_001)
    async with (
        SqliteInbox(":memory:"),
        listening(
            make(inbox=program.inbox, outbox=program.outbox, lead=scene.lead, auth=auth)  # type: ignore[arg-type]
        ) as url,
        visiting(url) as visitor,
    ):
        await look(visitor, payment_id)


async def look(visitor: Visitor, payment_id: str) -> None:
    """Look at everything as a reader."""
    event_id = (await visitor.get("/events")).text.partition('href="/events/')[2].partition('"')[0]
    for path in (
        "/work",
        "/health",
        "/events",
        f"/events/{event_id}",
        f"/payments/{payment_id}",
        "/instructions/large",
    ):
        page = await visitor.get(path)
        assert page.status == 200
        assert "Reveal" not in page.text
        assert 'class="button main"' not in page.text
    for path in (f"/events/{event_id}/replay", f"/payments/{payment_id}/respond", "/instructions/large/approve"):
        assert (await visitor.get(path)).status == 403

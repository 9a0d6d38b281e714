"""The simulated bank's pages: its payments, webhooks and accounts, and what can be made to happen there."""

import logging
from typing import Any

import pytest

from leadpay.console import loopback
from leadpay.console.app import listening, make
from leadpay.models import Agent, Party
from leadpay.sandbox import Sandbox
from leadpay.sandbox.delivery import MAX_EXCHANGES
from tests.console.visitor import Page, Visitor, visiting
from tests.support.scene import Scene

HOSTILE = "</td><script>alert(1)</script>\u202e" + "x" * 10_000


async def receive(scene: Scene, **changes: Any) -> str:
    """Receive a payment, and give its ID."""
    order = {
        "account_number_id": "account_number_1",
        "amount": 7500,
        "debtor": Party(name="Alex Smith", account_number="12345678"),
        "debtor_agent": Agent(routing_number="111000111"),
    }
    await scene.lead.simulate.incoming(**{**order, **changes})
    await scene.clock.advance(10)
    return scene.bank.bank.payments.all()[-1].id


def rows(page: Page) -> int:
    """How many rows a table has."""
    return page.text.count('<tr id="')


@pytest.mark.asyncio
async def test_the_list_of_payments_is_filtered_and_searched(scene: Scene, visitor: Visitor) -> None:
    """Direction, status and return request are in the URL; a search finds IDs, references and amounts."""
    empty = await visitor.get("/")
    assert empty.url.endswith("/bank/payments")
    assert "No payments" in empty.words
    sent = await scene.send(amount=123456)
    scene.bank.next_payment("rejected_by_lead:other")
    await scene.send(amount=2500)
    received = await receive(scene)
    scene.bank.request_return(received, "duplication")
    await scene.clock.advance(10)
    page = await visitor.get("/bank/payments")
    assert (rows(page), "3 at the simulated bank" in page.words) == (3, True)
    assert "…7890" in page.text
    assert "1234567890" not in page.text
    assert sent.payment_identifiers.uetr is not None
    for query, found in {
        "direction=incoming": 1,
        "status=rejected": 1,
        "status=nonsense": 3,
        "return_request=response_needed": 1,
        "q=$1,234.56": 1,
        "q=25.00": 1,
        f"q={sent.id[20:40]}": 1,
        f"q={sent.payment_identifiers.uetr.upper()}": 1,
        "q=nothing": 0,
        "q=%20": 3,
    }.items():
        assert rows(await visitor.get(f"/bank/payments?{query}")) == found, query


@pytest.mark.asyncio
async def test_lists_go_on_from_the_last_row(scene: Scene, visitor: Visitor) -> None:
    """A page has fifty rows; a cursor that is unknown begins anew."""
    for _ in range(60):
        await scene.send()
    await scene.clock.advance(10)
    for path, total in (("/bank/payments", 60), ("/bank/webhooks", 120)):
        page, count = await visitor.get(path), 0
        while True:
            count += rows(page)
            if 'rel="next"' not in page.text:
                break
            page = await visitor.get(
                page.text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
            )
        assert count == total
    assert rows(await visitor.get("/bank/payments?before=nonsense")) == 50


@pytest.mark.asyncio
async def test_a_payment_is_a_timeline(scene: Scene, visitor: Visitor) -> None:
    """It has the events with every attempt, the return request with its deadline, and the return linked both ways."""
    scene.endpoint.statuses = [500]
    received = await receive(scene)
    scene.bank.request_return(received, "duplication")
    await scene.clock.advance(10)
    words = (await visitor.get(f"/bank/payments/{received}")).words
    for text in ("Received", "Event: posted", "attempt 1 failed 500", "requests a return", "duplication", "left"):
        assert text in words, text
    returned = await scene.lead.instant_payments.return_payment(received, reason="honor_return_request")
    await scene.clock.advance(10)
    original, back = (
        await visitor.get(f"/bank/payments/{received}"),
        await visitor.get(f"/bank/payments/{returned.id}"),
    )
    assert f'href="/bank/payments/{returned.id}"' in original.text
    assert f'href="/bank/payments/{received}"' in back.text
    assert "Return request accepted by client" in original.words
    assert (await visitor.get("/bank/payments/nothing")).status == 404


@pytest.mark.asyncio
async def test_a_name_is_revealed_alone_and_logged(
    scene: Scene, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has who, which field and of what, and not the value."""
    payment = await scene.send()
    await scene.clock.advance(10)
    with caplog.at_level(logging.WARNING, "leadpay.console"):
        for path, name in (
            (f"/bank/payments/{payment.id}", "creditor.name"),
            ("/bank/webhooks/1", "object.creditor.name"),
        ):
            page = await visitor.get(path)
            assert "Alex Smith" not in page.text
            shown = await visitor.submit(path, page, path=name)
            assert "<mark>Alex Smith</mark>" in shown.text
            assert "1234567890" not in shown.text
            nothing = await visitor.submit(path, await visitor.get(path), path="id\nforged line")
            assert "<mark>" not in nothing.text
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        f"local revealed creditor.name of {payment.id}",
        f"local revealed object.creditor.name of {scene.bank.attempts[0].event_id}",
    ]


@pytest.mark.asyncio
async def test_hostile_text_is_text(scene: Scene, visitor: Visitor) -> None:
    """Markup, direction marks and endless names stay what they are."""
    scene.bank.bank.ledger.open(HOSTILE, name=HOSTILE)
    page = await visitor.get("/bank/controls")
    order = {"amount": "1", "account_number_id": HOSTILE[:99], "name": HOSTILE, "account_number": HOSTILE[:17]}
    told = await visitor.submit("/bank/controls/incoming", page, **order, routing_number="111000111")
    assert "The bank has been told" in told.words
    await scene.clock.advance(10)
    payment_id = scene.bank.bank.payments.all()[-1].id
    path = f"/bank/payments/{payment_id}"
    revealed = await visitor.submit(path, await visitor.get(path), path="debtor.name")
    for one in (await visitor.get("/bank/payments"), await visitor.get("/bank/accounts"), revealed):
        assert one.status == 200
        assert "<script>alert" not in one.text
    assert "&lt;script&gt;alert(1)" in revealed.text


@pytest.mark.asyncio
async def test_a_held_payment_is_released_or_refused(scene: Scene, visitor: Visitor) -> None:
    """The buttons are there while it is held."""
    for action, status in (("release", "posted"), ("refuse", "rejected")):
        scene.bank.next_payment("held")
        payment = await scene.send()
        await scene.clock.advance(10)
        path = f"/bank/payments/{payment.id}"
        page = await visitor.get(path)
        assert f"{payment.id}/{action}" in page.text
        await visitor.submit(f"{path}/{action}", page, reason="account_closed")
        await scene.clock.advance(10)
        assert scene.bank.bank.retrieve(payment.id).status == status
        assert f"{payment.id}/{action}" not in (await visitor.get(path)).text


@pytest.mark.asyncio
async def test_the_counterparty_returns_and_asks(scene: Scene, visitor: Visitor) -> None:
    """A part of a payment, a return request, and both verdicts on ours; a refusal of the bank is shown."""
    sent = await scene.send()
    await scene.clock.advance(10)
    path = f"/bank/payments/{sent.id}"
    wrong = await visitor.submit(f"{path}/return", await visitor.get(path), reason="other", amount="many")
    assert (wrong.status, "dollars, such as 19.99" in wrong.words) == (400, True)
    much = await visitor.submit(f"{path}/return", await visitor.get(path), reason="other", amount="50.01")
    assert much.status == 400
    await visitor.submit(f"{path}/return", await visitor.get(path), reason="other", amount="20.00")
    await scene.clock.advance(10)
    [back] = scene.bank.bank.retrieve(sent.id).return_payment_ids
    assert scene.bank.bank.retrieve(back).amount == 2000
    for verdict, status in (("accept", "accepted"), ("reject", "rejected")):
        ours = await scene.send()
        await scene.clock.advance(10)
        await scene.lead.instant_payments.request_return(ours.id, reason="duplication")
        path = f"/bank/payments/{ours.id}"
        await visitor.submit(f"{path}/{verdict}", await visitor.get(path))
        await scene.clock.advance(10)
        assert scene.bank.bank.retrieve(ours.id).return_requests[-1].status == status
    received = await receive(scene)
    path = f"/bank/payments/{received}"
    assert (await visitor.submit(f"{path}/request", await visitor.get(path), reason="x")).status == 400
    await visitor.submit(f"{path}/request", await visitor.get(path), reason="fraud_suspected")
    await scene.clock.advance(10)
    assert scene.bank.bank.retrieve(received).active_request is not None


@pytest.mark.asyncio
async def test_an_attempt_is_shown_and_sent_again(scene: Scene, visitor: Visitor) -> None:
    """The page has the request, the response, why it failed, and a button that sends it again."""
    assert "No attempts" in (await visitor.get("/bank/webhooks")).words
    scene.endpoint.statuses = [500]
    scene.bank.next_payment("silent")
    await scene.send()
    await scene.clock.advance(10)
    page = await visitor.get("/bank/webhooks/1")
    for text in ("only 2xx is accepted", "Lead-Signature", "POST http://127.0.0.1", "instant_payment.posted"):
        assert text in page.words, text
    again = await visitor.submit("/bank/webhooks/1/resend", page)
    assert again.url.endswith("/bank/webhooks/2?done=resent")
    assert "Sent again." in again.words
    assert len(scene.endpoint.events) == 2
    assert rows(await visitor.get("/bank/webhooks")) == 2
    assert rows(await visitor.get("/bank/webhooks?result=failed")) == 1
    for _ in range(MAX_EXCHANGES):
        await scene.bank.resend(scene.bank.attempts[0].event_id, "nowhere")
    assert "newest 1,000 attempts" in (await visitor.get("/bank/webhooks/1")).words


@pytest.mark.asyncio
async def test_the_controls_make_things_happen(scene: Scene, visitor: Visitor) -> None:
    """Outcomes, faults and the clock; a mistake is shown, with what was typed."""
    page = await visitor.get("/bank/controls")
    page = await visitor.submit("/bank/controls/outcome", page, outcome="held", direction="outgoing", reason="other")
    page = await visitor.submit(
        "/bank/controls/outcome", page, outcome="rejected_by_lead", direction="incoming", reason="other"
    )
    assert scene.bank.bank.chosen == {"outgoing": ("held",), "incoming": ("rejected_by_lead:other",)}
    page = await visitor.submit("/bank/controls/fault", page, kind="slow", operation="send", times="2", value="3.5")
    page = await visitor.submit("/bank/controls/fault", page, kind="rate_limited", operation="*", times="", value="")
    assert "slow of send, 2 left" in page.words
    assert "rate limited of every operation, always" in page.words
    page = await visitor.submit("/bank/controls/clear", page)
    assert "No fault is active" in page.words
    before = scene.clock.now()
    page = await visitor.submit("/bank/controls/clock", page, amount="2", unit="days")
    assert scene.clock.now() == before + 2 * 86_400
    for action, fields, problem in (
        ("fault", {"kind": "bogus"}, "kind must be one of"),
        ("fault", {"kind": "slow", "times": "x"}, "cannot be read"),
        ("clock", {"amount": "-1"}, "forward"),
        ("clock", {"amount": "2e9"}, "forward"),
        ("incoming", {"amount": ""}, "amount: is missing"),
        ("incoming", {"amount": "12.345"}, "dollars"),
        ("outcome", {"outcome": "bogus"}, "cannot be read"),
    ):
        page = await visitor.submit(f"/bank/controls/{action}", page, **fields)
        assert page.status == 400
        assert problem in page.words, (fields, page.words)
    async with Sandbox() as bank, listening(make(sandbox=bank, auth=loopback)) as url, visiting(url) as other:
        page = await other.get("/bank/controls")
        assert "The clock is real" in page.words
        page = await other.submit("/bank/controls/clock", page, amount="1")
        assert (page.status, "--clock manual" in page.words) == (400, True)
        assert "no endpoint" in (await other.get("/bank/webhooks")).words.lower()
        assert "No accounts" in (await other.get("/bank/accounts")).words


@pytest.mark.asyncio
async def test_what_the_bank_refuses_is_said(visitor: Visitor, scene: Scene) -> None:
    """A strict bank does not know the account number."""
    scene.bank.bank.ledger.strict = True
    page = await visitor.get("/bank/controls")
    page = await visitor.submit("/bank/controls/incoming", page, amount="1", account_number_id="unknown")
    assert (page.status, "permission" in page.words) == (400, True)

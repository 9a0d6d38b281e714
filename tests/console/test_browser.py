"""The console in a real browser: watched live, used by hand, checked by axe-core, on a phone, without a script."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from leadpay.cli.demo import Demo
from leadpay.clock import SystemClock
from leadpay.console import TokenAuth, loopback
from leadpay.console.app import listening, make
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.models import Party
from leadpay.sandbox import ManualClock, Sandbox
from leadpay.webhooks.aiohttp import listening as receiving
from leadpay.webhooks.receiver import WebhookReceiver
from tests.console.browser import WIDTHS, Tab, browsing, chromium
from tests.console.program import Program, running
from tests.console.test_payment_pages import receive_request
from tests.support.inbox import HandClock
from tests.support.outbox import OutboxScene, manual_outbox, payment
from tests.support.scene import Scene

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp.exe " + "x" * 10_000
TOKEN = "operator-token-0123"
SHOTS = Path(__file__).parents[2] / "docs" / "images" / "console"


@pytest_asyncio.fixture
async def tab() -> AsyncIterator[Tab]:
    """A tab in the browser."""
    async with browsing() as found:
        yield found


def test_a_missing_browser_is_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests are skipped with a line that cannot be overlooked, and fail in CI."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="NO BROWSER TEST WAS RUN"):
        chromium()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="NO BROWSER TEST WAS RUN"):
        chromium()


@pytest.mark.asyncio
async def test_the_demo_is_watched_live(tab: Tab) -> None:
    """Every payment of the demo appears, and changes, on a page that is opened once."""
    async with Sandbox(delay=0.02) as bank, bank.client() as lead:
        steps = Demo(bank, lead, lambda line: None)
        async with (
            receiving(WebhookReceiver(steps.router(), secrets=bank.webhook_secret)) as bank.webhook_url,
            listening(make(sandbox=bank, auth=loopback)) as url,
        ):
            await tab.open(f"{url}bank/payments")
            await tab.page.evaluate("window.openedOnce = true")
            assert await steps.run()
            made = bank.bank.payments.all()
            for one in made:
                await tab.see(f"#p-{one.id}", one.status.replace("_", " "))
            assert await tab.page.locator("#payments tr").count() == len(made) > 5
            await tab.see(f"#p-{made[-2].id}", "$75.00")
            await tab.see("#total", f"{len(made)} at the simulated bank")
            assert await tab.page.evaluate("window.openedOnce")
            asked_back = next(one for one in made if one.return_requests and one.direction == "incoming")
            await tab.page.locator(f"#p-{asked_back.id} a").click()
            text = await tab.text()
            for said in ("The counterparty requests a return", "Return request accepted by client", "Returned by"):
                assert said in text
            await tab.page.locator("dd a.id").first.click()
            await tab.see("h1", "Return")
            await tab.see("dt", "Original")


@pytest.mark.asyncio
async def test_a_dead_letter_is_found_explained_and_replayed(tab: Tab, program: Program) -> None:
    """From the menu to the handler's error, to the button, to "done": live, once a worker took it."""
    await program.receive("event_1", payment="instant_payment_1")
    await program.work()
    await tab.open(program.url)
    await tab.page.get_by_role("link", name="Work").click()
    await tab.see("#s-dead", "credit: builtins.KeyError")
    await tab.page.locator("#s-dead a.row").click()
    await tab.see("#runs", "credit")
    await tab.page.get_by_text("Traceback, without messages").click()
    assert "in credit" in await tab.text()
    await tab.click("Replay")
    await tab.page.get_by_label("Why?").fill("the ledger is back")
    await tab.click("Replay", "button")
    await tab.see(".notice", "Replayed")
    await tab.see(".head .badge", "waiting")
    program.is_broken = False
    await program.work()
    await tab.click("Work")
    await tab.see("main", "Nothing to do")
    await tab.open(f"{program.url}events/event_1")
    await tab.see(".head .badge", "done")
    assert "Replayed by local" in await tab.text()
    assert "the ledger is back" in await tab.text()


@pytest.mark.asyncio
async def test_a_webhook_is_sent_again(tab: Tab, scene: Scene) -> None:
    """An attempt says why it failed; its button sends it again."""
    scene.endpoint.statuses = [500]
    scene.bank.next_payment("silent")
    await scene.send()
    await scene.clock.advance(10)
    async with listening(make(sandbox=scene.bank, auth=loopback)) as url:
        await tab.open(f"{url}bank/webhooks?result=failed")
        await tab.page.locator("a.row").click()
        await tab.see(".error", "The endpoint responded with 500")
        await tab.click("Resend", "button")
        await tab.see(".notice", "Sent again.")
        await tab.see(".head .badge", "accepted")
    assert len(scene.endpoint.events) == 2


@pytest.mark.asyncio
async def test_a_return_request_is_responded_to(tab: Tab, program: Program) -> None:
    """The page counts down, and a press of two buttons queues the return."""
    payment_id = await receive_request(program)
    await tab.open(f"{program.url}payments/{payment_id}")
    await tab.see("#summary", "Return request response needed")
    await tab.click("Return it")
    await tab.see(".will", "$75.00 go back to the counterparty.")
    await tab.page.get_by_label("Why?").fill("the customer agrees")
    await tab.click("Return it", "button")
    await tab.see(".notice", "on its way to the bank")
    await tab.see("#summary", "queued")


@pytest.mark.asyncio
async def test_an_unknown_outcome_is_resolved(tab: Tab, scene: Scene) -> None:
    """With the evidence shown, a person says what happened."""
    clock = HandClock()
    clock.time = scene.clock.now()
    async with manual_outbox("sqlite:///:memory:", clock) as outbox:
        sending = OutboxScene(outbox, scene.bank, scene.lead, clock)
        scene.bank.faults.add("cut_before", operation="send", times=1)
        await outbox.send(**payment())
        await sending.work()
        await sending.move(12 * 3600 + 1)
        await sending.work()
        async with listening(make(outbox=outbox, auth=loopback, clock=ManualClock(clock.time))) as url:
            await tab.open(f"{url}work")
            await tab.see("#s-in_doubt", "invoice-1")
            await tab.page.locator("#s-in_doubt a.row").click()
            await tab.see("#v", "Evidence")
            await tab.click("Resolve")
            await tab.page.get_by_label("What happened?").select_option("it was surely not executed")
            await tab.page.get_by_label("Why?").fill("the bank says so on the phone")
            await tab.click("Resolve", "button")
            await tab.see(".notice", "Resolved.")
            await tab.see(".head .badge", "refused")


@pytest.mark.asyncio
async def test_hostile_names_are_text(tab: Tab, scene: Scene) -> None:
    """Script tags, direction marks and ten thousand characters: in lists, on pages, revealed, and live."""
    scene.bank.bank.ledger.open("account_number_1", name=HOSTILE)
    async with (
        SqliteInbox(":memory:") as inbox,
        running(inbox, scene, sandbox=scene.bank, clock=SystemClock()) as program,
    ):
        await tab.open(f"{program.url}bank/payments")
        sent = await scene.send(creditor=Party(name="<script>alert(1)</script>", account_number="12345678"))
        await scene.clock.advance(10)
        await tab.see(f"#p-{sent.id}", "posted")
        await program.take_over()
        await program.work()
        await program.receive("event_<b>", payment="instant_payment_<script>alert(3)</script>")
        for reference in ("<script>alert(1)</script>" + "x" * 170, "a/../b?c#d"):
            await program.queue(reference, creditor=Party(name="<script>alert(1)</script>", account_number="1"))
        for path in ("events", "instructions", "work", "payments"):
            await tab.open(program.url + path)
            assert await tab.serious() == []
        await tab.open(f"{program.url}bank/payments/{sent.id}")
        await tab.page.get_by_role("button", name="Reveal debtor.name").click()
        assert HOSTILE[:60] in await tab.page.inner_text("mark")
        assert await tab.serious() == []
        await tab.open(f"{program.url}instructions")
        await tab.page.locator("a.row", has_text="a/../b").click()
        await tab.see("h1", "Send")


@asynccontextmanager
async def everything(scene: Scene) -> AsyncIterator[tuple[Program, dict[str, str]]]:
    """A program and a bank with something on each page, and the pages' paths."""
    async with SqliteInbox(":memory:") as inbox, running(inbox, scene, sandbox=scene.bank) as program:
        scene.endpoint.statuses = [500]
        for outcome, amount in (
            ("posted", 123_456),
            ("rejected_by_lead:account_closed", 2_500),
            ("returned:account_closed", 1_999),
            ("held", 990_000),
            ("held_there", 4_200),
        ):
            scene.bank.next_payment(outcome)
            await scene.send(amount=amount)
            await scene.clock.advance(3)
        await scene.clock.advance(10)
        asked_back = await receive_request(program)
        await program.inbox.register("default", {"credit": ["*"]}, aliases={})
        await program.work()
        await program.receive("event_waiting", payment="instant_payment_waiting")
        for number, amount in enumerate((5_000, 72_050, 250_000)):
            await program.queue(f"invoice-{1000 + number}", amount=amount)
        async for event in inbox.events(state="dead", limit=1):
            dead = event.event_id
        yield (
            program,
            {
                "payments": "payments",
                "payment": f"payments/{asked_back}",
                "respond": f"payments/{asked_back}/respond?with=return",
                "work": "work",
                "event": f"events/{dead}",
                "events": "events",
                "health": "health",
                "instructions": "instructions",
                "instruction": "instructions/invoice-1002",
                "bank-payments": "bank/payments",
                "bank-payment": f"bank/payments/{asked_back}",
                "webhooks": "bank/webhooks",
                "webhook": "bank/webhooks/1",
                "accounts": "bank/accounts",
                "controls": "bank/controls",
            },
        )


@pytest.mark.asyncio
async def test_nothing_serious_is_found(scene: Scene) -> None:
    """By axe-core, on each page, by turns light and dark, wide and on a phone; no page is wider than its window."""
    async with everything(scene) as (program, paths), browsing() as tab:
        found = {}
        for number, (name, path) in enumerate(paths.items()):
            await tab.page.emulate_media(color_scheme="dark" if number % 2 else "light")
            await tab.open(program.url + path)
            found[name] = await tab.serious()
            for width in ("tablet", "phone"):
                await tab.page.set_viewport_size({"width": WIDTHS[width], "height": 800})
                found[f"{name}, {width}"] = await tab.too_wide()
            if number % 5 == 0:
                found[f"{name}, phone"] += await tab.serious()
            await tab.page.set_viewport_size({"width": WIDTHS["wide"], "height": 900})
        assert {name: problems for name, problems in found.items() if problems} == {}


@pytest.mark.asyncio
async def test_a_keyboard_is_enough(tab: Tab, scene: Scene) -> None:
    """The first key skips the menu, a slash goes to the search, a row is a link."""
    sent = await scene.send()
    await scene.clock.advance(10)
    async with listening(make(sandbox=scene.bank, auth=loopback)) as url:
        await tab.open(f"{url}bank/payments")
        await tab.page.keyboard.press("Tab")
        assert await tab.page.evaluate("document.activeElement.textContent") == "Skip to the content"
        await tab.page.keyboard.press("Enter")
        await tab.page.keyboard.press("/")
        await tab.page.keyboard.type(sent.id[-8:])
        await tab.page.keyboard.press("Enter")
        await tab.page.wait_for_url("**q=*")
        await tab.page.locator("a.row").focus()
        await tab.page.keyboard.press("Enter")
        await tab.see("h1", "Outgoing payment")


@pytest.mark.asyncio
async def test_signing_in_and_reading_without_a_script(scene: Scene) -> None:
    """The page of the token is styled within the policy; filters, timelines and forms work without JavaScript."""
    await scene.send()
    await scene.clock.advance(10)
    async with (
        listening(make(sandbox=scene.bank, auth=TokenAuth(TOKEN))) as url,
        browsing(java_script_enabled=False) as tab,
    ):
        await tab.page.goto(url)
        tab.problems.clear()  # the browser itself complains of the status 401
        assert await tab.page.locator("main").evaluate("e => getComputedStyle(e).borderRadius") == "10px"
        await tab.page.get_by_label("Token").fill(TOKEN)
        await tab.click("Sign in", "button")
        await tab.see("h1", "Payments")
        await tab.click("Outgoing")
        await tab.page.locator("a.row").click()
        await tab.see("#timeline", "Event: posted")
        await tab.click("Sign out", "button")
        await tab.see("h1", "leadpay console")
        tab.problems.clear()  # the same


@pytest.mark.skipif("LEADPAY_SCREENSHOTS" not in os.environ, reason="LEADPAY_SCREENSHOTS=1 makes the pictures of docs")
@pytest.mark.asyncio
async def test_pictures_for_the_documentation(scene: Scene) -> None:
    """Six pages at three widths."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    names = ("payments", "payment", "work", "event", "webhook", "controls")
    async with everything(scene) as (program, paths), browsing(device_scale_factor=0.7) as tab:
        for width, pixels in WIDTHS.items():
            scheme: Any = "dark" if width == "tablet" else "light"
            await tab.page.emulate_media(color_scheme=scheme)
            await tab.page.set_viewport_size({"width": pixels, "height": 640})
            for name in names:
                await tab.open(program.url + paths[name])
                await tab.page.screenshot(path=SHOTS / f"{name}-{width}.png")

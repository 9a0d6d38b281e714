"""A real browser: Chromium, driven by Playwright, that notes everything that a page must not do."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any, Final

import attrs
import pytest
from playwright.async_api import Page, async_playwright

WIDTHS: Final = {"wide": 1280, "tablet": 820, "phone": 390}

AXE: Final = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
"""The accessibility checks of axe-core."""


def chromium() -> str:
    """Find Chromium.

    Without one the tests are skipped, and fail in CI.
    """
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        reason = "NO BROWSER TEST WAS RUN: install Chromium (apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@attrs.define
class Tab:
    """A page in the browser, and what it did wrong."""

    page: Page
    problems: list[str] = attrs.field(factory=list)

    async def open(self, url: str) -> None:
        """Open a page, and wait until it is live if it can be."""
        await self.page.goto(url)
        if await self.page.locator("body:not([data-static]) [data-live]").count():
            await self.page.locator("#live.on").wait_for()

    async def text(self) -> str:
        """The text that is shown, on one line."""
        return " ".join((await self.page.inner_text("main")).split())

    async def see(self, selector: str, text: str) -> None:
        """Wait until something is shown, without opening the page again."""
        await self.page.locator(selector, has_text=text).first.wait_for(timeout=10_000)

    async def click(self, name: str, role: Any = "link") -> None:
        """Press a link or a button of this name."""
        await self.page.get_by_role(role, name=name, exact=True).first.click()

    async def serious(self) -> list[str]:
        """What axe-core finds that is serious or critical, and whether the page is too wide."""
        await self.page.evaluate(AXE)
        found = await self.page.evaluate(
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']})"
            ".then(r => r.violations.filter(v => ['serious', 'critical'].includes(v.impact))"
            ".map(v => v.id + ': ' + v.nodes.map(n => n.target.join(' ')).slice(0, 3).join(', ')))"
        )
        return [*found, *await self.too_wide()]

    async def too_wide(self) -> list[str]:
        """Whether the page is wider than its window."""
        more = await self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return ["wider than the window"] if more > 0 else []


@asynccontextmanager
async def browsing(**options: Any) -> AsyncIterator[Tab]:
    """Open a tab, and check at the end that nothing went wrong in it: no error, no violation, no other place asked."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        context = await browser.new_context(viewport={"width": WIDTHS["wide"], "height": 900}, **options)
        page = await context.new_page()
        page.set_default_timeout(10_000)
        tab = Tab(page)
        page.on("pageerror", lambda error: tab.problems.append(f"error: {error}"))
        page.on("dialog", lambda dialog: tab.problems.append(f"dialog: {dialog.message}"))
        page.on("console", lambda line: tab.problems.append(f"console: {line.text}") if line.type == "error" else None)
        page.on(
            "request",
            lambda asked: None if "//127.0.0.1:" in asked.url else tab.problems.append(f"asked {asked.url}"),
        )
        try:
            yield tab
        finally:
            await browser.close()
        assert tab.problems == []

"""Someone at the console, without a browser: follows links, fills in forms, keeps cookies."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from typing import Any, NamedTuple
from urllib.parse import urljoin

import aiohttp

TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


class Page(NamedTuple):
    """A response."""

    status: int
    text: str
    headers: Any
    url: str

    @property
    def form_token(self) -> str:
        """The token of its forms; empty if it has none."""
        found = TOKEN.search(self.text)
        return found[1] if found else ""

    @property
    def words(self) -> str:
        """Its text without tags, on one line."""
        body = re.sub(r"<(style|script)\b.*?</\1>", " ", self.text, flags=re.DOTALL)
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


class Visitor:
    """A client with cookies at one console."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def request(self, method: str, path: str, **options: Any) -> Page:
        """Send a request exactly as described."""
        async with self._session.request(method, urljoin(self.url, path), **options) as response:
            return Page(response.status, await response.text(), response.headers, str(response.url))

    async def get(self, path: str, **options: Any) -> Page:
        """Open a page."""
        return await self.request("GET", path, **options)

    async def submit(self, path: str, page: Page, /, **fields: str) -> Page:
        """Submit a form of a page, as a browser does, and follow the redirect."""
        data = {"form_token": page.form_token, **fields}
        return await self.request("POST", path, data=data, headers={"Origin": self.url.rstrip("/")})


@asynccontextmanager
async def visiting(url: str, **options: Any) -> AsyncIterator[Visitor]:
    """Visit a console."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), **options) as session:
        yield Visitor(session, url)

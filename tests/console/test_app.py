"""Mounting, signing in, files, and what all pages share."""

import asyncio

import pytest
from aiohttp import web

from leadpay.console import TokenAuth, loopback, mount_console
from leadpay.console.access import COOKIE
from leadpay.console.app import listening, make
from leadpay.errors import ConfigurationError
from tests.console.visitor import visiting
from tests.support.scene import Scene

TOKEN = "operator-token-0123"


@pytest.mark.asyncio
async def test_it_is_mounted_on_an_application(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a path, also within another application; its links stay below it, and the application's own pages are free."""
    monkeypatch.delenv("LEAD_CONSOLE_TOKEN", raising=False)
    with pytest.raises(ConfigurationError, match="LEAD_CONSOLE_TOKEN"):
        mount_console(web.Application(), sandbox=scene.bank)
    app, inner = web.Application(), web.Application()

    async def own(_: web.Request) -> web.Response:
        return web.Response(text="mine")

    app.router.add_get("/", own)
    mount_console(app, sandbox=scene.bank, auth=loopback)
    mount_console(inner, sandbox=scene.bank, auth=loopback, path="/look")
    app.add_subapp("/inner", inner)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with visiting(f"http://127.0.0.1:{runner.addresses[0][1]}/") as visitor:
            assert (await visitor.get("/")).text == "mine"
            for path, root in {"/console": "/console", "/console/": "/console", "/inner/look/": "/inner/look"}.items():
                page = await visitor.get(path)
                assert page.url.endswith(f"{root}/bank/payments")
                assert f'href="{root}/bank/webhooks"' in page.text
            assert (await visitor.get("/console/nowhere")).status == 404
    finally:
        await runner.cleanup()


@pytest.mark.asyncio
async def test_a_person_signs_in_and_out(scene: Scene) -> None:
    """The cookie is for this console only, for no script, and for no other site."""
    async with listening(make(sandbox=scene.bank, auth=TokenAuth(TOKEN))) as url, visiting(url) as visitor:
        page = await visitor.get("/login")
        assert page.status == 401
        wrong = await visitor.submit("/login", page, token="wrong")
        assert (wrong.status, "not known" in wrong.words) == (401, True)
        origin = {"Origin": url.rstrip("/")}
        page = await visitor.request("POST", "/login", data={"token": TOKEN}, headers=origin, allow_redirects=False)
        cookie = page.headers["Set-Cookie"]
        assert cookie.startswith(f"{COOKIE}=operator.")
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        remote = {"Origin": "https://ops.example", "Host": "ops.example"}
        page = await visitor.request("POST", "/login", data={"token": TOKEN}, headers=remote, allow_redirects=False)
        assert "Secure" in page.headers["Set-Cookie"].split("; ")
        home = await visitor.submit("/login", page, token=TOKEN)
        assert "Sign out" in home.words
        assert (await visitor.get("/login")).url == home.url
        await visitor.request("POST", "/logout", data={}, headers=origin)
        assert (await visitor.get("/")).status == 401


@pytest.mark.asyncio
async def test_files_are_kept_by_the_browser(scene: Scene) -> None:
    """Their address changes with what they hold."""
    async with listening(make(sandbox=scene.bank, auth=loopback)) as url, visiting(url) as visitor:
        page = await visitor.get("/")
        path = page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
        style = await visitor.get(path)
        assert style.headers["Content-Type"] == "text/css; charset=utf-8"
        assert "immutable" in style.headers["Cache-Control"]
        assert "url(" not in style.text
        assert (await visitor.get(path.replace("console.css", "app.py"))).status == 404


@pytest.mark.asyncio
async def test_pages_name_no_other_place(scene: Scene) -> None:
    """No page asks a third party for anything, and none has inline script or style."""
    await scene.send()
    await scene.clock.advance(10)
    async with listening(make(sandbox=scene.bank, auth=loopback)) as url, visiting(url) as visitor:
        for path in ("payments", "webhooks", "webhooks/1", "accounts", "controls"):
            page = await visitor.get(f"/bank/{path}")
            assert page.status == 200
            assert " style=" not in page.text
            assert "<style" not in page.text
            assert " onclick" not in page.text
            assert page.text.count("<script") == page.text.count("<script src=") == 1
            assert 'src="http' not in page.text
            assert 'href="http' not in page.text


@pytest.mark.asyncio
async def test_a_console_on_ipv6(scene: Scene) -> None:
    """Its URL has brackets."""
    async with listening(make(sandbox=scene.bank, auth=loopback), host="::1") as url, visiting(url) as visitor:
        assert url.startswith("http://[::1]:")
        assert (await visitor.get("/")).status == 200
    await asyncio.sleep(0)

"""Hostile requests: strangers get 401, forged and replayed forms change nothing, a reader changes nothing."""

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import aiohttp
import pytest
import pytest_asyncio

from leadpay.console import TokenAuth, User, loopback
from leadpay.console.app import Console, listening, make
from leadpay.console.guard import HEADERS
from tests.console.visitor import Page, Visitor, visiting
from tests.support.scene import Scene

OPERATOR = "operator-token-0123"
READER = "read-only-token-456"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
INCOMING = "/bank/controls/incoming"
ORDER = {
    "amount": "10",
    "account_number_id": "account_number_1",
    "name": "Alex Smith",
    "account_number": "1234567890",
    "routing_number": "111000111",
}


@pytest_asyncio.fixture
async def console(scene: Scene) -> AsyncIterator[str]:
    """The URL of a console that asks for a token; it has one payment and one attempt."""
    scene.bank.next_payment("silent")
    await scene.send()
    await scene.clock.advance(10)
    async with listening(make(sandbox=scene.bank, auth=TokenAuth(OPERATOR, READER))) as url:
        yield url


def state(scene: Scene) -> object:
    """Everything that a request could change at the bank."""
    bank, faults = scene.bank.bank, scene.bank.faults
    return (
        bank.payments.revision,
        bank.timers.added,
        bank.chosen,
        faults.active,
        scene.bank.last_attempt,
        scene.clock.now(),
    )


class Attack(NamedTuple):
    """A request that must not get through."""

    method: str
    path: str
    status: int
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed
    fields: dict[str, str] | bytes | None = None
    as_role: str = ""
    """``operator`` or ``read-only`` if it comes with the token of that role."""
    token: str = ""
    """``fresh``, ``used``, ``readers`` or a text, for the form's token."""


PAGES = ("/", "/bank/payments", "/bank/webhooks", "/bank/webhooks/1", "/bank/accounts", "/bank/controls", "/changes")
STRANGERS = [
    *(Attack("GET", path, 401) for path in PAGES),
    Attack("GET", "/static/{version}/console.css", 401),
    Attack("GET", "/static/{version}/console.js", 401),
    Attack("GET", "/nowhere", 401),
    Attack("HEAD", "/bank/payments", 401),
    Attack("OPTIONS", "/bank/payments", 401),
    Attack("POST", INCOMING, 401, fields=ORDER),
    Attack("POST", "/bank/webhooks/1/resend", 401, fields={}),
    Attack("GET", "/bank/payments", 401, {"Authorization": "Bearer wrong"}),
    Attack("GET", "/bank/payments", 401, {"Authorization": f"Basic {OPERATOR}"}),
    Attack("GET", f"/bank/payments?token={OPERATOR}", 401),
    Attack("GET", "/bank/payments", 401, {"Cookie": "leadpay_console=operator.9999999999.0"}),
    Attack("GET", "/bank/payments", 401, {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-User": "operator"}),
    Attack("POST", "/login", 401, fields={"token": "wrong"}),
    Attack("POST", "/login", 401, {"Origin": "{origin}"}, {"token": "wrong"}),
    Attack("POST", "/login", 401, {"Origin": "https://evil.example"}, {"token": OPERATOR}),
    Attack("POST", "/login", 401, {"Origin": "{origin}", "Content-Type": "text/plain"}, b"x"),
]
FORGED = [
    Attack("POST", INCOMING, 403, {"Origin": "https://evil.example"}, ORDER, "operator", "fresh"),
    Attack("POST", INCOMING, 403, {"Origin": "null"}, ORDER, "operator", "fresh"),
    Attack("POST", INCOMING, 403, {"Origin": ""}, ORDER, "operator", "fresh"),
    Attack("POST", INCOMING, 403, {"Origin": "http://["}, ORDER, "operator", "fresh"),
    Attack("POST", INCOMING, 403, {"Origin": "{origin}.evil.example"}, ORDER, "operator", "fresh"),
    Attack("POST", INCOMING, 403, {"Origin": "{origin}", "Sec-Fetch-Site": "cross-site"}, ORDER, "operator", "fresh"),
    Attack("POST", INCOMING, 403, {"Origin": "{origin}", "Sec-Fetch-Site": "same-site"}, ORDER, "operator", "fresh"),
    Attack("POST", INCOMING, 403, {"Origin": "{origin}"}, ORDER, "operator"),
    Attack("POST", INCOMING, 403, {"Origin": "{origin}"}, ORDER, "operator", "made.up.token"),
    Attack("POST", INCOMING, 403, {"Origin": "{origin}"}, ORDER, "operator", "used"),
    Attack("POST", "/bank/controls/fault", 403, {"Origin": "{origin}"}, {"kind": "slow"}, "operator", "used"),
    Attack("POST", "/bank/webhooks/1/resend", 403, {"Origin": "{origin}"}, {}, "operator", "used"),
    Attack("POST", INCOMING, 403, {"Origin": "{origin}"}, ORDER, "read-only", "fresh"),
    Attack("POST", "/bank/webhooks/1/resend", 403, {"Origin": "{origin}"}, {}, "read-only", "fresh"),
    Attack(
        "POST", "/bank/webhooks/1", 403, {"Origin": "{origin}"}, {"path": "object.debtor.name"}, "read-only", "fresh"
    ),
    Attack("POST", "/bank/controls/clock", 403, {"Origin": "{origin}"}, {"amount": "1"}, "read-only", "fresh"),
]
MALFORMED = [
    Attack("POST", INCOMING, 415, {"Origin": "{origin}", "Content-Type": "application/json"}, b"{}", "operator"),
    Attack("POST", INCOMING, 415, {"Origin": "{origin}", "Content-Type": "text/plain"}, b"amount=1", "operator"),
    Attack("POST", INCOMING, 413, {"Origin": "{origin}", **FORM}, b"a=" + b"x" * 20_000, "operator"),
    Attack("POST", INCOMING, 400, {"Origin": "{origin}", **FORM}, b"&".join([b"a=1"] * 60), "operator"),
    Attack("POST", INCOMING, 400, {"Origin": "{origin}", **FORM}, b"\xff=1", "operator"),
    Attack("PUT", "/bank/payments", 403, {"Origin": "{origin}"}, {}, "operator"),
    Attack("DELETE", "/bank/payments", 405, {"Origin": "{origin}"}, {}, "operator", "fresh"),
    Attack("GET", "/bank/controls/incoming", 405, {}, None, "operator"),
    Attack("GET", "/static/{version}/../app.py", 404, {}, None, "operator"),
    Attack("GET", "/static/{version}/%2e%2e%2fapp.py", 404, {}, None, "operator"),
    Attack("GET", "/bank/payments/%00", 404, {}, None, "operator"),
    Attack("POST", "/bank/payments/x/explode", 404, {"Origin": "{origin}"}, {}, "operator", "fresh"),
    Attack("POST", "/bank/controls/explode", 404, {"Origin": "{origin}"}, {}, "operator", "fresh"),
    Attack("GET", "/bank/webhooks/999", 404, {}, None, "operator"),
    Attack("POST", "/bank/webhooks/999/resend", 404, {"Origin": "{origin}"}, {}, "operator", "fresh"),
]
ATTACKS = [*STRANGERS, *FORGED, *MALFORMED]


async def carry_out(attack: Attack, visitor: Visitor) -> Page:
    """Send the request, with the tokens that it names."""
    origin = visitor.url.rstrip("/")
    headers = {name: value.replace("{origin}", origin) for name, value in attack.headers.items()}
    fields = attack.fields
    if attack.as_role:
        bearer = {"Authorization": f"Bearer {OPERATOR if attack.as_role == 'operator' else READER}"}
        headers |= bearer
        page = await visitor.get("/bank/controls", headers=bearer)
        assert page.status == 200
        assert bool(page.form_token) == (attack.as_role == "operator")
        token = page.form_token
        if attack.token == "used":
            used = {"form_token": token, "direction": "outgoing", "outcome": "nonsense"}
            done = await visitor.request(
                "POST", "/bank/controls/outcome", data=used, headers={**bearer, "Origin": origin}
            )
            assert done.status == 400
        if isinstance(fields, dict) and attack.token:
            fields = {**fields, "form_token": token if attack.token in {"fresh", "used"} else attack.token}
    path = attack.path.replace("{version}", "0")
    return await visitor.request(attack.method, path, data=fields, headers=headers, allow_redirects=False)


def test_the_table_has_forty_requests() -> None:
    """Each line is one kind of attack."""
    assert len(ATTACKS) >= 40


@pytest.mark.asyncio
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack.method}-{attack.path}-{attack.status}")
async def test_a_hostile_request_changes_nothing(attack: Attack, console: str, scene: Scene) -> None:
    """It is refused, shows nothing of the bank, and has every protecting header."""
    before = state(scene)
    async with visiting(console) as visitor:
        page = await carry_out(attack, visitor)
    assert page.status == attack.status
    assert state(scene) == before
    if attack.method != "HEAD":
        assert "instant_payment" not in page.text
        assert "<script" not in page.text
        assert "style-src 'sha256-" in page.headers["Content-Security-Policy"]
    assert {name: page.headers[name] for name in HEADERS if name != "Content-Security-Policy"} == {
        name: value for name, value in HEADERS.items() if name != "Content-Security-Policy"
    }
    assert page.headers.get("WWW-Authenticate") == ("Bearer" if attack.status == 401 else None)


@pytest.mark.asyncio
async def test_the_same_request_without_the_attack_gets_through(console: str, scene: Scene) -> None:
    """Otherwise the table would prove nothing."""
    async with visiting(console, headers={"Authorization": f"Bearer {OPERATOR}"}) as visitor:
        page = await visitor.submit(INCOMING, await visitor.get("/bank/controls"), **ORDER)
    assert page.status == 200
    await scene.clock.advance(10)
    assert len(scene.bank.bank.payments) == 2


@pytest.mark.asyncio
async def test_a_reader_sees_pages_without_forms(console: str) -> None:
    """There is no button to act, and no name or account number can be revealed."""
    async with visiting(console, headers={"Authorization": f"Bearer {READER}"}) as visitor:
        for path in PAGES[1:-1]:
            page = await visitor.get(path)
            assert page.status == 200
            assert page.form_token == ""
            assert "Reveal" not in page.text


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("hosts", "host", "status"),
    [
        ((), "localhost:80", 200),
        ((), "127.0.0.1", 200),
        ((), "[::1]:1", 200),
        ((), "evil.example", 403),
        ((), "127.0.0.1.evil.example", 403),
        ((), "[", 403),
        (("ops.example",), "OPS.example:443", 200),
        (("ops.example",), "localhost", 403),
    ],
)
async def test_another_name_is_refused(hosts: tuple[str, ...], host: str, status: int, scene: Scene) -> None:
    """A name that an attacker lets point to this machine opens nothing."""
    async with listening(make(sandbox=scene.bank, auth=loopback, hosts=hosts)) as url, visiting(url) as visitor:
        assert (await visitor.get("/bank/payments", headers={"Host": host})).status == status


@pytest.mark.asyncio
async def test_a_function_of_the_user_decides(scene: Scene) -> None:
    """It gets the request, and its user's name is on the page."""

    async def auth(request: Any) -> User | None:
        return User(request.headers["X-User"]) if "X-User" in request.headers else None

    async with listening(make(sandbox=scene.bank, auth=auth)) as url, visiting(url) as visitor:
        refused = await visitor.get("/bank/payments")
        assert (refused.status, "Sign in first" in refused.text) == (401, True)
        page = await visitor.get("/bank/payments", headers={"X-User": "Ann <b>", "Host": "any.example"})
        assert "Ann &lt;b&gt; · read-only" in page.text
        assert (await visitor.get("/login", headers={"X-User": "Ann"})).status == 404


@pytest.mark.asyncio
async def test_a_failure_is_a_page_and_a_line(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Neither has the text of the exception, which may hold a name."""

    async def auth(request: Any) -> User | None:
        raise RuntimeError("of Alex Smith")

    async with listening(make(sandbox=scene.bank, auth=auth)) as url, visiting(url) as visitor:
        page = await visitor.get("/bank/payments?q=Alex")
    assert page.status == 500
    assert "RuntimeError" in page.words
    assert "Alex" not in page.text + caplog.text
    assert "GET /bank/payments failed: RuntimeError" in caplog.text


@pytest.mark.asyncio
async def test_a_console_without_pages_has_none(scene: Scene) -> None:
    """Nothing was given that it could show."""
    async with listening(Console(loopback)) as url, visiting(url) as visitor:
        assert (await visitor.get("/")).status == 404


@pytest.mark.asyncio
async def test_a_connection_that_ends_in_the_middle_of_a_form(console: str) -> None:
    """The console goes on."""
    async with visiting(console) as visitor:
        with pytest.raises(aiohttp.ClientError):
            await visitor.request(
                "POST",
                INCOMING,
                data=_broken(),
                headers={**FORM, "Authorization": f"Bearer {OPERATOR}", "Origin": console.rstrip("/")},
            )
        assert (await visitor.get("/")).status == 401


async def _broken() -> AsyncIterator[bytes]:
    yield json.dumps({}).encode()
    raise aiohttp.ClientError

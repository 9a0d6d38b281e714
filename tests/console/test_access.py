"""Who may look, and who may act."""

from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request

from leadpay.console.access import COOKIE, SESSION_SECONDS, TokenAuth, User, choose, is_loopback, loopback
from leadpay.errors import ConfigurationError

OPERATOR = "operator-token-0123"
READER = "read-only-token-456"


class Time:
    """A time that is moved by hand."""

    now = 1_700_000_000.0


def auth(time: type[Time] = Time) -> TokenAuth:
    return TokenAuth(OPERATOR, READER, now=lambda: time.now)


def request(**headers: str) -> Any:
    return make_mocked_request("GET", "/", headers=headers)


def from_address(address: object, **headers: str) -> Any:
    transport = Mock()
    transport.get_extra_info = lambda name: address
    return make_mocked_request("GET", "/", headers=headers, transport=transport)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("token", "user"),
    [
        (f"Bearer {OPERATOR}", User("operator", "operator")),
        (f"bearer  {READER} ", User("read-only", "read-only")),
        (f"Basic {OPERATOR}", None),
        ("Bearer wrong", None),
        ("Bearer", None),
        ("", None),
    ],
)
async def test_a_token_is_a_role(token: str, user: User | None) -> None:
    """A program sends it in a header; everything else is a stranger."""
    assert await auth()(request(Authorization=token)) == user


@pytest.mark.asyncio
async def test_a_login_lasts_a_working_day() -> None:
    """Its cookie holds the role and its end, signed with the token; a new token ends it."""

    class Moving(Time):
        """Moves on in this test only."""

    ours = auth(Moving)
    assert ours.login("wrong") is None
    for token, role in ((OPERATOR, "operator"), (READER, "read-only")):
        cookie = ours.login(token)
        assert cookie is not None
        assert token not in cookie
        assert await ours(request(Cookie=f"{COOKIE}={cookie}")) == User(role, role)  # type: ignore[arg-type]
        other = TokenAuth(f"other-{OPERATOR}", f"other-{READER}", now=lambda: Moving.now)
        assert await other(request(Cookie=f"{COOKIE}={cookie}")) is None
        forged = cookie.replace("read-only", "operator") if role == "read-only" else cookie[:-1]
        assert await ours(request(Cookie=f"{COOKIE}={forged}")) is None
        Moving.now += SESSION_SECONDS
        assert await ours(request(Cookie=f"{COOKIE}={cookie}")) is None
    for cookie in ("", ".", "operator", "operator.1", "operator..", "ä.ö.ü", "operator.x.y"):
        assert await ours(request(Cookie=f"{COOKIE}={cookie}")) is None


@pytest.mark.parametrize(
    ("tokens", "problem"),
    [
        ((), "no token"),
        (("short",), "16 characters"),
        ((OPERATOR, "short"), "16 char"),
        ((OPERATOR, OPERATOR), "differ"),
    ],
)
def test_weak_tokens_are_refused(tokens: tuple[str, ...], problem: str) -> None:
    """The message does not contain the token."""
    with pytest.raises(ConfigurationError, match=problem) as error:
        TokenAuth(*tokens)
    assert "short" not in str(error.value)


@pytest.mark.parametrize(
    ("address", "headers", "allowed"),
    [
        (("127.0.0.1", 5), {}, True),
        (("::1", 5, 0, 0), {}, True),
        (("::ffff:127.0.0.1", 5, 0, 0), {}, True),
        (("192.0.2.1", 5), {}, False),
        (("fe80::1%eth0", 5, 0, 0), {}, False),
        ("", {}, False),
        (None, {}, False),
        (("127.0.0.1", 5), {"X-Forwarded-For": "192.0.2.1"}, False),
        (("127.0.0.1", 5), {"forwarded": "for=192.0.2.1"}, False),
        (("127.0.0.1", 5), {"x-real-ip": "192.0.2.1"}, False),
        (("127.0.0.1", 5), {"Via": "1.1 proxy"}, False),
    ],
)
@pytest.mark.asyncio
async def test_loopback_lets_this_machine_in(address: object, headers: dict[str, str], allowed: bool) -> None:
    """Not a request through a proxy, nor one from a Unix socket."""
    assert await loopback(from_address(address, **headers)) == (User("local", "operator") if allowed else None)


@pytest.mark.asyncio
async def test_a_request_without_a_connection_is_a_strangers() -> None:
    """Its connection was closed meanwhile."""
    gone = Mock(transport=None, headers={})
    assert await loopback(gone) is None


def test_names_of_this_machine() -> None:
    """A name that only looks like one is none."""
    assert is_loopback("localhost")
    assert not is_loopback("localhost.example.com")
    assert not is_loopback("127.0.0.1.example.com")


@pytest.mark.asyncio
async def test_there_is_no_open_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without auth and without a token in the environment, there is no console."""
    monkeypatch.delenv("LEAD_CONSOLE_TOKEN", raising=False)
    monkeypatch.delenv("LEAD_CONSOLE_READ_ONLY_TOKEN", raising=False)
    with pytest.raises(ConfigurationError, match="LEAD_CONSOLE_TOKEN"):
        choose(None)
    assert choose(loopback) is loopback
    monkeypatch.setenv("LEAD_CONSOLE_READ_ONLY_TOKEN", READER)
    found = await choose(None)(request(Authorization=f"Bearer {READER}"))
    assert found == User("read-only")
    assert found is not None
    assert not found.may_act

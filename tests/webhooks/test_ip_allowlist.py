"""The caller's address behind proxies, and whether it is allowed."""

import pytest

from leadpay.errors import ConfigurationError
from leadpay.webhooks.ip_allowlist import UNIX, AllowList

BANK = "34.234.237.195"


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "allowed"),
    [
        (BANK, [], [], True),
        (f"::ffff:{BANK}", [], [], True),
        ("10.0.0.1", [], [], False),
        ("2001:db8::1", [], [], False),
        ("junk", [BANK], ["10.0.0.0/8"], False),
        ("10.0.0.1", [BANK], [], False),
        ("10.0.0.1", [BANK], ["10.0.0.0/8"], True),
        ("10.0.0.1", [f"1.2.3.4, {BANK}"], ["10.0.0.0/8"], True),
        ("10.0.0.1", [f"{BANK}, 1.2.3.4"], ["10.0.0.0/8"], False),
        ("10.0.0.1", [f"{BANK}, 10.0.0.2"], ["10.0.0.0/8"], True),
        ("10.0.0.1", [BANK, "10.0.0.2"], ["10.0.0.0/8"], True),
        ("10.0.0.1", [f"{BANK}, junk"], ["10.0.0.0/8"], False),
        ("10.0.0.1", ["10.0.0.3"], ["10.0.0.0/8"], False),
        ("10.0.0.1", [], ["10.0.0.0/8"], False),
        (BANK, ["1.2.3.4"], ["10.0.0.0/8"], True),
        ("::1", [BANK], ["::1"], True),
        (None, [BANK], [], False),
        (None, [BANK], ["10.0.0.0/8"], False),
        (None, [BANK], [UNIX], True),
        (None, [], [UNIX], False),
    ],
)
def test_only_what_trusted_proxies_wrote_is_believed(
    peer: str | None, forwarded: list[str], proxies: list[str], allowed: bool
) -> None:
    """The caller is the first address from the right that is not a trusted proxy."""
    assert AllowList.of([BANK], proxies).allows(peer, forwarded) is allowed


def test_networks_can_be_allowed_and_an_empty_list_allows_none() -> None:
    """Networks are taken as well as addresses; a list without any refuses all."""
    assert AllowList.of(["34.0.0.0/8", "2001:db8::/32"]).allows("2001:db8::5", [])
    assert not AllowList.of([]).allows(BANK, [])


@pytest.mark.parametrize(
    ("allow", "proxies", "name"), [(["x"], [], "allow"), (BANK, [], "allow"), ([], ["10.0.0.1/8"], "trusted_proxies")]
)
def test_what_is_no_address_is_refused(allow: list[str], proxies: list[str], name: str) -> None:
    """A list with junk, or a string in place of a list, is an error that names the argument."""
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        AllowList.of(allow, proxies)

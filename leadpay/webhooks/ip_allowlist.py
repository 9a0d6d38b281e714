"""Which IP address a request comes from, behind any number of proxies, and whether it is allowed. Pure."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

import attrs

from leadpay.errors import ConfigurationError

Address: TypeAlias = IPv4Address | IPv6Address

UNIX: Final = "unix"
"""In ``trusted_proxies``: a proxy on a Unix socket, which has no address."""


@attrs.frozen
class AllowList:
    """The addresses that may call, and the proxies whose ``X-Forwarded-For`` is believed.

    Anyone can write ``X-Forwarded-For``, so only what trusted proxies wrote counts: read from the right, the first
    address that is not a trusted proxy is the caller's.
    """

    allowed: tuple[IPv4Network | IPv6Network, ...]
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False

    @classmethod
    def of(cls, allowed: Iterable[str], trusted_proxies: Iterable[str] = ()) -> "AllowList":
        """Read addresses and networks such as ``10.0.0.0/8``.

        Raises:
            ConfigurationError: one of them is neither.
        """
        proxies = list(trusted_proxies)
        return cls(
            _networks("allow", allowed),
            _networks("trusted_proxies", [proxy for proxy in proxies if proxy != UNIX]),
            UNIX in proxies,
        )

    def allows(self, peer: str | None, forwarded_for: Sequence[str]) -> bool:
        """Whether the caller is allowed.

        Args:
            peer: the address at the other end of the connection; None on a Unix socket.
            forwarded_for: the values of all ``X-Forwarded-For`` headers, in order.
        """
        caller = self._caller(peer, forwarded_for)
        return caller is not None and any(caller in network for network in self.allowed)

    def _caller(self, peer: str | None, forwarded_for: Sequence[str]) -> Address | None:
        if peer is None:
            if not self.unix:
                return None
        else:
            address = _address(peer)
            if address is None or not any(address in proxy for proxy in self.proxies):
                return address
        for hop in reversed(",".join(forwarded_for).split(",")):
            address = _address(hop.strip())
            if address is None or not any(address in proxy for proxy in self.proxies):
                return address
        return None


def _networks(name: str, texts: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise ConfigurationError(f"{name}: must be IP addresses or networks") from error


def _address(text: str) -> Address | None:
    """Read an address, None if it is malformed; an IPv4 address that is mapped to IPv6 is the IPv4 address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address

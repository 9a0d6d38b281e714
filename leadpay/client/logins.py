"""Logins that lie around: a netrc file, which aiohttp reads where a session trusts the environment."""

import os
from pathlib import Path
from urllib.parse import urlsplit


def in_netrc(url: str) -> bool:
    """Say whether aiohttp would find a login for a URL's host, its own or the default one.

    It then refuses each request that has a token, before anything is sent, in an error that could be anybody's.
    """
    from netrc import NetrcParseError, netrc  # noqa: PLC0415 - few sessions trust the environment

    try:
        path = os.environ.get("NETRC") or Path.home() / ("_netrc" if os.name == "nt" else ".netrc")
        return netrc(str(path)).authenticators(urlsplit(url).hostname or "") is not None
    except (OSError, RuntimeError, NetrcParseError):
        return False

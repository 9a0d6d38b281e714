"""OAuth2 client credentials, as on the bank's page on authentication. Pure."""

import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from leadpay.sandbox.constants import SCOPES
from leadpay.sandbox.problems import ApiProblem

LIFETIME: Final = 86_400.0
"""How long a token is valid, in seconds, unless set. From the bank's page on authentication."""


class Grant(NamedTuple):
    """A token, its scopes, and when it expires."""

    token: str
    scopes: frozenset[str]
    expires_at: float
    """Seconds since 1970."""


class Tokens:
    """The tokens that were issued.

    Args:
        client_id: the client's.
        client_secret: the client's.
        now: the time in seconds since 1970.
        new_token: makes a new token.
        lifetime: of a token, in seconds.
        scopes: those that were granted to the client.
    """

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        now: Callable[[], float],
        new_token: Callable[[], str],
        lifetime: float = LIFETIME,
        scopes: frozenset[str] = SCOPES,
    ) -> None:
        self._client_id = client_id
        self._client_secret = client_secret
        self._now = now
        self._new_token = new_token
        self._grants: dict[str, Grant] = {}
        self._last: Grant | None = None
        self.lifetime = lifetime
        self.scopes = scopes
        self.issued = 0
        """How many requests for a token succeeded."""

    def issue(self, body: Mapping[str, Any], *, same: bool = False) -> dict[str, Any]:
        """Issue a token.

        Args:
            body: the validated JSON body.
            same: whether to return the last token again, with less time left, revoked or not.

        Raises:
            ApiProblem: 400, wrong credentials, or a scope that is unknown or was not granted.
        """
        if not (_same(body["client_id"], self._client_id) and _same(body["client_secret"], self._client_secret)):
            raise ApiProblem(400, "invalid_client", "The client credentials are not valid.")
        scopes = frozenset(str(body["scope"]).split()) if body.get("scope") else self.scopes
        if not scopes <= self.scopes:
            raise ApiProblem(400, "invalid_scope", "A scope is unknown or not granted to this client.")
        self.issued += 1
        grant = self._last if same and self._last else Grant(self._new_token(), scopes, self._now() + self.lifetime)
        if grant is not self._last:
            self._grants[grant.token] = self._last = grant
        return {
            "access_token": grant.token,
            "token_type": "Bearer",
            "scope": " ".join(sorted(grant.scopes)),
            "expires_in": max(0, round(grant.expires_at - self._now())),
        }

    def check(self, authorization: str | None, needed: frozenset[str]) -> str:
        """The token of a request that is authorized.

        Args:
            authorization: the header, or None.
            needed: the scopes of which the token needs one.

        Raises:
            ApiProblem: 401, no valid token; 403, it has none of the scopes.
        """
        scheme, _, token = (authorization or "").partition(" ")
        grant = self._grants.get(token) if scheme.lower() == "bearer" else None
        if grant is None or self._now() >= grant.expires_at:
            raise ApiProblem(401, "unauthorized", "The access token is missing, unknown or expired.")
        if not needed & grant.scopes:
            raise ApiProblem(403, "insufficient_scope", f"One of these scopes is needed: {', '.join(sorted(needed))}.")
        return token

    def revoke(self, token: str) -> None:
        """Expire a token at once."""
        self._grants.pop(token, None)

    def revoke_all(self) -> None:
        """Expire every token at once."""
        self._grants.clear()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode(errors="replace"))

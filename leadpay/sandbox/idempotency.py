"""Idempotency keys, by the bank's page on them. Pure.

Same key and same request: the first response again; 409 while the first is in progress. Same key and another request:
422 (the bank does not publish the status). A request that ended in a 4xx did not consume its key. How long the bank
keeps a key is not published; the sandbox keeps it while it runs, unless a fault makes it forget.
"""

import math
from typing import Final, NamedTuple

from leadpay.sandbox.problems import ApiProblem

MAX_KEY_LENGTH: Final = 255
"""Longest key, in characters. From the bank's description."""

_FIRST_ERROR: Final = 400


class StoredResponse(NamedTuple):
    """A response that is given again for the same key."""

    status: int
    body: bytes


class _Entry(NamedTuple):
    request: str
    response: StoredResponse | None
    finished_at: float
    """Seconds since 1970."""


class IdempotencyKeys:
    """Every key that was used."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def begin(self, key: str, request: str) -> StoredResponse | None:
        """Start a request with a key.

        Args:
            key: the caller's key.
            request: the request in a form that is equal exactly when two requests are.

        Returns:
            The response to give again, or None if the request is new, and in progress from now on.

        Raises:
            ApiProblem: 409, in progress; 422, the key belongs to another request.
        """
        entry = self._entries.get(key)
        if entry is None:
            self._entries[key] = _Entry(request, None, math.inf)
            return None
        if entry.request != request:
            raise ApiProblem(422, "idempotency_error", "This idempotency key was used for another request.")
        if entry.response is None:
            raise ApiProblem(409, "request_in_progress", "A request with this idempotency key is in progress.")
        return entry.response

    def finish(self, key: str, response: StoredResponse, now: float) -> None:
        """Store the response of a request; an error frees its key.

        Args:
            key: the caller's key.
            response: the response.
            now: the current time in seconds since 1970.
        """
        entry = self._entries.pop(key)
        if response.status < _FIRST_ERROR:
            self._entries[key] = entry._replace(response=response, finished_at=now)

    def age(self, key: str, now: float) -> float:
        """Seconds since the response of a key was stored; negative if there is none."""
        return now - self._entries[key].finished_at if key in self._entries else -math.inf

    def forget(self, key: str) -> None:
        """Free a key, as if it had not been used."""
        del self._entries[key]

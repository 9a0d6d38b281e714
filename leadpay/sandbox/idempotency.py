"""Idempotency keys, by the bank's page on them. Pure.

Same key and same request: the first answer again; 409 while the first is in progress. Same key and another request:
422 (the bank does not write the code down). A request that ended in a 4xx did not consume its key. How long the bank
keeps a key is not known; the sandbox keeps it for as long as it lives.
"""

from typing import Final, NamedTuple

from leadpay.sandbox.problems import ApiProblem

MAX_KEY_LENGTH: Final = 255
"""Longest key, in characters. From the bank's description."""


class Answered(NamedTuple):
    """A finished answer to be given again."""

    status: int
    body: bytes


class _Entry(NamedTuple):
    request: str
    answer: Answered | None


class Keys:
    """Every key that was used."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def begin(self, key: str, request: str) -> Answered | None:
        """Start a request under a key.

        Args:
            key: the caller's key.
            request: what is asked for, in a form that is equal exactly when the requests are.

        Returns:
            The answer to be given again, or None if the request is new and in progress now.

        Raises:
            ApiProblem: 409, in progress; 422, the key belongs to another request.
        """
        entry = self._entries.get(key)
        if entry is None:
            self._entries[key] = _Entry(request, None)
            return None
        if entry.request != request:
            raise ApiProblem(422, "idempotency_error", "This idempotency key was used for another request.")
        if entry.answer is None:
            raise ApiProblem(409, "request_in_progress", "A request with this idempotency key is in progress.")
        return entry.answer

    def finish(self, key: str, answer: Answered) -> None:
        """Keep the answer for whoever asks again; after an error the key is free."""
        entry = self._entries.pop(key)
        if answer.status < 400:  # noqa: PLR2004 - where errors begin
            self._entries[key] = entry._replace(answer=answer)

"""The bank's HTTP semantics without any HTTP library: one Call in, one Answer out. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from leadpay.sandbox import validation
from leadpay.sandbox.bank import Bank
from leadpay.sandbox.idempotency import MAX_KEY_LENGTH, Answered, Keys
from leadpay.sandbox.operations import OPERATIONS, Asked, Operation
from leadpay.sandbox.refusals import Refused
from leadpay.sandbox.tokens import Tokens
from leadpay.sandbox.validation import Query

TOKEN_PATH: Final = "/v1/oauth/token"  # noqa: S105 - a path

_JSON: Final = ("Content-Type", "application/json")


class Call(NamedTuple):
    """A request, its path and query decoded."""

    method: str
    path: str
    query: Query
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes


class Answer(NamedTuple):
    """A response."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (_JSON,)


def answer_with(status: int, shown: Mapping[str, Any] | None, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """An answer that carries JSON, or nothing."""
    if shown is None:
        return Answer(status, b"", headers)
    # ASCII, so that a lone surrogate that a client sent can be written at all.
    return Answer(status, json.dumps(shown, separators=(",", ":")).encode(), (_JSON, *headers))


class Face:
    """Answers calls for a bank.

    Args:
        bank: the state machine.
        tokens: who may call.
    """

    __slots__ = ("_bank", "_keys", "_tokens")

    def __init__(self, bank: Bank, tokens: Tokens) -> None:
        self._bank = bank
        self._tokens = tokens
        self._keys = Keys()

    def answer(self, call: Call) -> Answer:
        """Serve a call; whatever is wrong with it becomes an answer of the bank's error shape."""
        if call.path == TOKEN_PATH and call.method == "POST":
            return self._token(call)
        try:
            operation, object_id = route(call)
            self._tokens.check(call.headers.get("authorization"), operation.scopes)
            return self._serve(operation, object_id, call)
        except Refused as refused:
            return answer_with(refused.status, refused.body(), refused.headers)

    def _token(self, call: Call) -> Answer:
        try:
            return answer_with(200, self._tokens.issue(validation.credentials(_json_body(call))))
        except Refused as refused:
            return answer_with(refused.status, refused.body(numeric_status=True), refused.headers)

    def _serve(self, operation: Operation, object_id: str, call: Call) -> Answer:
        key = _key(call) if operation.keyed else None
        body = _json_body(call) if operation.has_body else {}
        asked = Asked(object_id, body, call.query)
        if key is None:
            return answer_with(200, operation.run(self._bank, asked))
        before = self._keys.begin(key, f"{call.method} {call.path} {json.dumps(body, sort_keys=True)}")
        if before is not None:
            return Answer(before.status, before.body, (_JSON,) if before.body else ())
        try:
            answer = answer_with(200, operation.run(self._bank, asked))
        except Refused as refused:
            self._keys.finish(key, Answered(refused.status, b""))
            raise
        self._keys.finish(key, Answered(answer.status, answer.body))
        return answer


def route(call: Call) -> tuple[Operation, str]:
    """The operation that a call means, and the ID in its path (empty if it has none).

    Raises:
        Refused: 404, no such path; 405, no such method there.
    """
    allowed = {"POST"} if call.path == TOKEN_PATH else set()
    for operation in OPERATIONS:
        match = operation.path.fullmatch(call.path)
        if match is None:
            continue
        if operation.method == call.method:
            return operation, match.group(1) if match.groups() else ""
        allowed.add(operation.method)
    if allowed:
        headers = (("Allow", ", ".join(sorted(allowed))),)
        raise Refused(405, "method_not_allowed", "This path has no such method.", headers=headers)
    raise Refused(404, "not_found", "There is no such path.")


def _key(call: Call) -> str:
    key = call.headers.get("idempotency-key", "")
    if not key:
        raise Refused(400, "idempotency_error", "The Idempotency-Key header is required.")
    if len(key) > MAX_KEY_LENGTH:
        detail = f"The Idempotency-Key header has more than {MAX_KEY_LENGTH} characters."
        raise Refused(400, "idempotency_error", detail)
    return key


def _json_body(call: Call) -> Mapping[str, Any]:
    if call.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(400, "parameters_invalid", "The request body must be application/json.")
    return validation.json_object(call.body)

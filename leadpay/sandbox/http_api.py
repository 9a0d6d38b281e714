"""The bank's HTTP semantics without any HTTP library: one Call in, one Answer out. Pure."""

import json
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any, Final, NamedTuple

from leadpay.sandbox import validation
from leadpay.sandbox.bank import Bank
from leadpay.sandbox.disguise import disguise
from leadpay.sandbox.faults import Fault, Faults
from leadpay.sandbox.idempotency import MAX_KEY_LENGTH, Answered, Keys
from leadpay.sandbox.openapi import description
from leadpay.sandbox.operations import OPERATIONS, Operation, OperationInput
from leadpay.sandbox.problems import ApiProblem
from leadpay.sandbox.tokens import Tokens
from leadpay.sandbox.validation import Query

TOKEN_PATH: Final = "/v1/oauth/token"  # noqa: S105 - a path

DESCRIPTION_PATH: Final = "/openapi.json"

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
    fate: Fault | None = None
    """What the connection does to it."""
    key: str | None = None
    """The idempotency key that stays in progress until :meth:`HttpApi.finish`."""


BEFORE: Final = ("cut_before", "rate_limited", "rate_limited_date", "server_error", "bad_gateway")
"""Faults that strike before anything is processed."""

AFTER: Final = ("answer_lost", "answer_cut", "slow", "server_error_after", "bad_gateway_after", "webhook_first")
"""Faults that strike once a request has been processed."""

OK: Final = 200
"""The status of every answer that is no refusal."""

_HTML: Final = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


def answer_with(status: int, shown: Mapping[str, Any] | None, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """An answer that carries JSON, or nothing."""
    if shown is None:
        return Answer(status, b"", headers)
    # ASCII, so that a lone surrogate that a client sent can be written at all.
    return Answer(status, json.dumps(shown, separators=(",", ":")).encode(), (_JSON, *headers))


class HttpApi:
    """Answers calls for a bank.

    Args:
        bank: the state machine.
        tokens: who may call.
        faults: what goes wrong on request.
    """

    __slots__ = ("_bank", "_faults", "_keys", "_tokens")

    def __init__(self, bank: Bank, tokens: Tokens, faults: Faults) -> None:
        self._bank = bank
        self._tokens = tokens
        self._faults = faults
        self._keys = Keys()

    def handle(self, call: Call) -> Answer:
        """Serve a call in process: :meth:`answer` and :meth:`finish` in one."""
        answer = self.answer(call)
        self.finish(answer)
        return answer

    def answer(self, call: Call) -> Answer:
        """Serve a call; whatever is wrong with it becomes an answer of the bank's error shape.

        A keyed request stays in progress until the answer is given to :meth:`finish`.
        """
        if call.path == TOKEN_PATH and call.method == "POST":
            return self._visited("token", lambda: self._token(call))
        if (call.method, call.path) == ("GET", DESCRIPTION_PATH):
            return answer_with(200, description())
        try:
            operation, object_id = route(call)
        except ApiProblem as refused:
            return answer_with(refused.status, refused.body(), refused.headers)
        return self._visited(operation.name, lambda: self._authorized(operation, object_id, call))

    def finish(self, answer: Answer) -> None:
        """An answer is on its way: its key is in progress no longer."""
        if answer.key is not None:
            self._keys.finish(answer.key, Answered(answer.status, answer.body))

    def _visited(self, operation: str, serve: Callable[[], Answer]) -> Answer:
        """Serve, with the faults that strike now."""
        before = self._faults.draw(BEFORE, operation)
        if before is not None:
            return self._instead(before)
        answer = serve()
        # A token, or a refusal, causes no webhook that could come first.
        kinds = AFTER if operation != "token" and answer.status == OK else AFTER[:-1]
        after = self._faults.draw(kinds, operation)
        if after is None:
            return answer
        if after.kind in {"server_error_after", "bad_gateway_after"}:
            self.finish(answer)
            return self._instead(after)
        return answer._replace(fate=after)

    def _instead(self, fault: Fault) -> Answer:
        if fault.kind in {"bad_gateway", "bad_gateway_after"}:
            return Answer(502, _HTML, (("Content-Type", "text/html"),))
        if fault.kind in {"rate_limited", "rate_limited_date"}:
            until = formatdate(self._bank.now() + fault.value, usegmt=True)
            wait = until if fault.kind == "rate_limited_date" else f"{fault.value:g}"
            refused = ApiProblem(429, "rate_limited", "Slow down.", headers=(("Retry-After", wait),))
        else:
            refused = ApiProblem(500, "internal_error", "Something went wrong, as requested.")
        return answer_with(refused.status, refused.body(), refused.headers)._replace(fate=fault)

    def _token(self, call: Call) -> Answer:
        try:
            body = validation.credentials(_json_body(call))
            same = self._faults.draw(("same_token",), "token") is not None
            return answer_with(200, self._tokens.issue(body, same=same))
        except ApiProblem as refused:
            return answer_with(refused.status, refused.body(numeric_status=True), refused.headers)

    def _authorized(self, operation: Operation, object_id: str, call: Call) -> Answer:
        try:
            token = self._tokens.check(call.headers.get("authorization"), operation.scopes)
            if self._faults.draw(("token_expired",), operation.name):
                self._tokens.revoke(token)
                self._tokens.check(None, operation.scopes)
            return self._serve(operation, object_id, call)
        except ApiProblem as refused:
            return answer_with(refused.status, refused.body(), refused.headers)

    def _serve(self, operation: Operation, object_id: str, call: Call) -> Answer:
        key = _key(call) if operation.keyed else None
        body = _json_body(call) if operation.has_body else {}
        asked = OperationInput(object_id, body, call.query)
        if key is None:
            return self._run(operation, asked)
        if self._faults.draw(("in_progress",), operation.name):
            raise ApiProblem(409, "request_in_progress", "A request with this idempotency key is in progress.")
        before = self._keys.begin(key, f"{call.method} {call.path} {json.dumps(body, sort_keys=True)}")
        if before is not None:
            return Answer(before.status, before.body, (_JSON,) if before.body else ())
        try:
            return self._run(operation, asked)._replace(key=key)
        except ApiProblem as refused:
            self._keys.finish(key, Answered(refused.status, b""))
            raise

    def _run(self, operation: Operation, asked: OperationInput) -> Answer:
        shown = operation.run(self._bank, asked)
        return answer_with(200, shown and disguise(shown, self._faults, operation.name))


def route(call: Call) -> tuple[Operation, str]:
    """The operation that a call means, and the ID in its path (empty if it has none).

    Raises:
        ApiProblem: 404, no such path; 405, no such method there.
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
        raise ApiProblem(405, "method_not_allowed", "This path has no such method.", headers=headers)
    raise ApiProblem(404, "not_found", "There is no such path.")


def _key(call: Call) -> str:
    key = call.headers.get("idempotency-key", "")
    if not key:
        raise ApiProblem(400, "idempotency_error", "The Idempotency-Key header is required.")
    if len(key) > MAX_KEY_LENGTH:
        detail = f"The Idempotency-Key header has more than {MAX_KEY_LENGTH} characters."
        raise ApiProblem(400, "idempotency_error", detail)
    return key


def _json_body(call: Call) -> Mapping[str, Any]:
    if call.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiProblem(400, "parameters_invalid", "The request body must be application/json.")
    return validation.json_object(call.body)

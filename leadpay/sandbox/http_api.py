"""The bank's HTTP semantics without an HTTP library: a Request in, a Response out. Pure."""

import json
from collections import deque
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any, Final, NamedTuple

from leadpay.sandbox import serialization, validation
from leadpay.sandbox.bank import Bank
from leadpay.sandbox.faults import ANY, Fault, Faults
from leadpay.sandbox.idempotency import MAX_KEY_LENGTH, IdempotencyKeys, StoredResponse
from leadpay.sandbox.openapi import description
from leadpay.sandbox.operations import OPERATIONS, Operation, OperationInput
from leadpay.sandbox.problems import ApiProblem
from leadpay.sandbox.tokens import Tokens
from leadpay.sandbox.validation import Query

TOKEN_PATH: Final = "/v1/oauth/token"  # noqa: S105 - a path

DESCRIPTION_PATH: Final = "/openapi.json"

OK: Final = 200
"""The status of every response that is not a refusal."""

FAULTS_BEFORE: Final = (
    "cut_before",
    "rate_limited",
    "rate_limited_date",
    "server_error",
    "bad_gateway",
    "proxy_error",
    "source_ip_refused",
    "token_refused",
)
"""Faults that happen before a request is processed."""

FAULTS_AFTER: Final = (
    "response_lost",
    "response_cut",
    "slow",
    "server_error_after",
    "bad_gateway_after",
    "proxy_error_after",
    "late_response",
    "unsolicited_response",
    "foreign_response",
    "webhook_first",
)
"""Faults that happen once a request has been processed."""

RATE_WINDOW: Final = 1.0
"""Seconds in which the requests are counted that a rate limit bounds."""

_JSON: Final = ("Content-Type", "application/json")


class Request(NamedTuple):
    """A request, its path and query decoded."""

    method: str
    path: str
    query: Query
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes


class Response(NamedTuple):
    """A response."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (_JSON,)
    fault: Fault | None = None
    """What the server does to it or to its connection."""
    key: str | None = None
    """The idempotency key that stays in progress until :meth:`HttpApi.finish`."""


def json_response(status: int, shown: Mapping[str, Any] | None, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A response with JSON, or with an empty body."""
    if shown is None:
        return Response(status, b"", headers)
    # ASCII, so that a lone surrogate that a client sent can be written at all.
    return Response(status, json.dumps(shown, separators=(",", ":")).encode(), (_JSON, *headers))


def problem_response(problem: ApiProblem, *, numeric_status: bool = False) -> Response:
    """The response that refuses a request."""
    return json_response(problem.status, problem.body(numeric_status=numeric_status), problem.headers)


class HttpApi:
    """Responds to requests for a bank.

    Args:
        bank: the payments.
        tokens: the access tokens.
        faults: what goes wrong on request.
    """

    __slots__ = ("_bank", "_faults", "_keys", "_recent", "_tokens")

    def __init__(self, bank: Bank, tokens: Tokens, faults: Faults) -> None:
        self._bank = bank
        self._tokens = tokens
        self._faults = faults
        self._keys = IdempotencyKeys()
        self._recent: deque[tuple[float, str]] = deque()

    def handle(self, request: Request) -> Response:
        """Serve a request in process: :meth:`respond` and :meth:`finish` in one."""
        response = self.respond(request)
        self.finish(response)
        return response

    def respond(self, request: Request) -> Response:
        """Serve a request; whatever is wrong with it becomes a problem response.

        The idempotency key stays in progress until the response is given to :meth:`finish`.
        """
        if request.path == TOKEN_PATH and request.method == "POST":
            return self._with_faults("token", lambda: self._token(request))
        if (request.method, request.path) == ("GET", DESCRIPTION_PATH):
            return json_response(OK, description())
        try:
            operation, object_id = route(request)
        except ApiProblem as problem:
            return problem_response(problem)
        return self._with_faults(operation.name, lambda: self._authorized(operation, object_id, request))

    def finish(self, response: Response) -> None:
        """Note that a response was sent: its key is no longer in progress."""
        if response.key is not None:
            self._keys.finish(response.key, StoredResponse(response.status, response.body), self._bank.now())

    def _with_faults(self, operation: str, serve: Callable[[], Response]) -> Response:
        kinds = set(FAULTS_BEFORE) if operation == "token" else set(FAULTS_BEFORE) - {"token_refused"}
        before = self._faults.trigger(kinds, operation) or self._over_rate_limit(operation)
        if before is not None:
            return self._instead(before)
        self._recent.append((self._bank.now(), operation))
        response = serve()
        foreign = self._foreign(response) if operation != "token" else None
        kinds = set(FAULTS_AFTER)
        if foreign is None:
            kinds.discard("foreign_response")
        if operation == "token" or response.status != OK:
            kinds.discard("webhook_first")  # neither a token nor a refusal causes a webhook
        after = self._faults.trigger(kinds, operation)
        if after is None:
            return response
        if after.kind == "foreign_response" and foreign is not None:
            self.finish(response)
            return foreign
        if after.kind in {"server_error_after", "bad_gateway_after", "proxy_error_after"}:
            self.finish(response)
            return self._instead(after)
        return response._replace(fault=after)

    def _over_rate_limit(self, operation: str) -> Fault | None:
        since = self._bank.now() - RATE_WINDOW
        while self._recent and self._recent[0][0] <= since:
            self._recent.popleft()

        def is_over(fault: Fault) -> bool:
            return sum(fault.operation in {ANY, recent} for _, recent in self._recent) >= fault.value

        return self._faults.trigger(("rate_limit", "rate_limit_silent"), operation, is_over)

    def _foreign(self, response: Response) -> Response | None:
        """The same kind of response about another object; None if it is not about one object."""
        shown = json.loads(response.body) if response.status == OK and response.body else {}
        if "routing_number" in shown:
            return json_response(OK, {**shown, "routing_number": "000000000"})
        if "payment_identifiers" in shown:
            others = [payment for payment in self._bank.payments.all() if payment.id != shown["id"]]
            # The first payment has no other: then it is one of another client.
            changed = {**shown, "id": f"{shown['id']}0", "amount": shown["amount"] + 1}
            return json_response(OK, serialization.payment(others[-1]) if others else changed)
        return json_response(OK, {**shown, "id": f"{shown['id']}0"}) if "id" in shown else None

    def _instead(self, fault: Fault) -> Response:
        """The response that a fault puts in the place of the bank's own."""
        if fault.kind.startswith(("bad_gateway", "proxy_error")):
            return Response(fault.status, fault.body.encode(), (("Content-Type", fault.content_type),))
        if fault.kind.startswith("rate_limit"):
            waits = {
                "rate_limited": f"{fault.value:g}",
                "rate_limited_date": formatdate(self._bank.now() + fault.value, usegmt=True),
                "rate_limit": f"{RATE_WINDOW:g}",
            }
            headers = (("Retry-After", waits[fault.kind]),) if fault.kind in waits else ()
            return problem_response(ApiProblem(429, "rate_limited", "Slow down.", headers=headers))
        if fault.kind == "token_refused":
            problem = ApiProblem(400, "parameters_invalid", "The client credentials are not valid.")
            return problem_response(problem, numeric_status=True)
        if fault.kind == "source_ip_refused":
            problem = ApiProblem(403, "source_ip_not_allowed", "Requests from this IP address are not allowed.")
            return problem_response(problem, numeric_status=True)
        problem = ApiProblem(500, "internal_error", "Something went wrong, as requested.")
        return problem_response(problem)._replace(fault=fault)

    def _token(self, request: Request) -> Response:
        try:
            body = validation.credentials(_json_body(request))
            same = self._faults.trigger(("same_token",), "token") is not None
            return json_response(OK, self._tokens.issue(body, same=same))
        except ApiProblem as problem:
            return problem_response(problem, numeric_status=True)

    def _authorized(self, operation: Operation, object_id: str, request: Request) -> Response:
        try:
            token = self._tokens.check(request.headers.get("authorization"), operation.scopes)
            if self._faults.trigger(("token_expired",), operation.name):
                self._tokens.revoke(token)
                self._tokens.check(None, operation.scopes)
            return self._serve(operation, object_id, request)
        except ApiProblem as problem:
            return problem_response(problem)

    def _serve(self, operation: Operation, object_id: str, request: Request) -> Response:
        takes_key = operation.takes_key and "idempotency-key" in request.headers
        key = _key(request) if operation.needs_key or takes_key else None
        has_body = operation.has_body or (operation.may_have_body and request.body)
        body = _json_body(request) if has_body else {}
        given = OperationInput(object_id, body, request.query)
        if key is None:
            return self._run(operation, given)
        if self._faults.trigger(("in_progress",), operation.name):
            raise ApiProblem(409, "request_in_progress", "A request with this idempotency key is in progress.")
        age = self._keys.age(key, self._bank.now())
        if self._faults.trigger(("key_forgotten",), operation.name, lambda fault: age >= fault.value):
            self._keys.forget(key)
        stored = self._keys.begin(key, f"{request.method} {request.path} {json.dumps(body, sort_keys=True)}")
        if stored is not None:
            return Response(stored.status, stored.body, (_JSON,) if stored.body else ())
        try:
            return self._run(operation, given)._replace(key=key)
        except ApiProblem as problem:
            self._keys.finish(key, StoredResponse(problem.status, b""), self._bank.now())
            raise

    def _run(self, operation: Operation, given: OperationInput) -> Response:
        shown = operation.run(self._bank, given)
        return json_response(OK, shown and self._faults.change_data(shown, operation.name))


def route(request: Request) -> tuple[Operation, str]:
    """The operation of a request, and the ID in its path (empty if it has none).

    Raises:
        ApiProblem: 404, no such path; 405, no such method there.
    """
    allowed = {"POST"} if request.path == TOKEN_PATH else set()
    for operation in OPERATIONS:
        match = operation.path.fullmatch(request.path)
        if match is None:
            continue
        if operation.method == request.method:
            return operation, match.group(1) if match.groups() else ""
        allowed.add(operation.method)
    if allowed:
        headers = (("Allow", ", ".join(sorted(allowed))),)
        raise ApiProblem(405, "method_not_allowed", "This path has no such method.", headers=headers)
    raise ApiProblem(404, "not_found", "There is no such path.")


def _key(request: Request) -> str:
    key = request.headers.get("idempotency-key", "")
    if not key:
        raise ApiProblem(400, "idempotency_error", "The Idempotency-Key header is required.")
    if len(key) > MAX_KEY_LENGTH:
        detail = f"The Idempotency-Key header has more than {MAX_KEY_LENGTH} characters."
        raise ApiProblem(400, "idempotency_error", detail)
    return key


def _json_body(request: Request) -> Mapping[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiProblem(400, "parameters_invalid", "The request body must be application/json.")
    return validation.json_object(request.body)

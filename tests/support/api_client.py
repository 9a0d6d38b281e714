"""A bank in process, with a clock that a test moves; every response is validated against the description it serves."""

import json
import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any
from uuid import UUID

from jsonschema import Draft202012Validator, FormatChecker

from leadpay.sandbox.bank import Bank
from leadpay.sandbox.clock import START
from leadpay.sandbox.constants import SCOPES
from leadpay.sandbox.faults import Faults
from leadpay.sandbox.http_api import HttpApi, Request, Response
from leadpay.sandbox.models import Event
from leadpay.sandbox.openapi import description
from leadpay.sandbox.tokens import Tokens

ACCOUNT_NUMBER_ID = "account_number_xyz123"
ORDER: dict[str, Any] = {
    "account_number_id": ACCOUNT_NUMBER_ID,
    "amount": 5000,
    "currency_code": "USD",
    "creditor": {"name": "Alex Smith", "account_number": "1234567890"},
    "creditor_agent": {"routing_number": "111000111"},
    "description": "Invoice 12345",
}
INCOMING: dict[str, Any] = {
    "creditor_account_number_id": ACCOUNT_NUMBER_ID,
    "amount": 7500,
    "currency_code": "USD",
    "debtor": {"name": "Robin Brown", "account_number": "1234567890"},
    "debtor_agent": {"routing_number": "111000111"},
    "payment_identifiers": {"end_to_end_id": "E2E-1"},
}
CREDENTIALS = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "s3cret"}
PAYMENTS, SIMULATE, EVENTS, TOKEN = (
    "/v1/instant_payments",
    "/v1/simulate/instant_payments",
    "/v1/event",
    "/v1/oauth/token",
)


def _without_nullable(schema: Any) -> Any:
    """OpenAPI 3.0 has ``nullable`` where JSON Schema has one more type."""
    if isinstance(schema, list):
        return [_without_nullable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {name: _without_nullable(value) for name, value in schema.items()}
    return {"anyOf": [changed, {"type": "null"}]} if changed.pop("nullable", False) else changed


class ResponseValidator:
    """Validates responses against a description."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = _without_nullable(document)
        self.paths = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), item) for path, item in self.document["paths"].items()
        ]

    def check(self, request: Request, response: Response) -> None:
        """Fail if the status or the body is not described."""
        operation = next(
            (item[request.method.lower()] for path, item in self.paths if path.fullmatch(request.path)),
            None,
        )
        assert operation is not None, f"{request.method} {request.path} is not described"
        assert str(response.status) in operation["responses"], f"{request.path}: {response.status} is not described"
        content = operation["responses"][str(response.status)].get("content")
        if content is None:
            assert response.body == b"", f"{request.path}: a body that is not described"
            return
        schema = {**content["application/json"]["schema"], "components": self.document["components"]}
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(json.loads(response.body))


class ApiClient:
    """Calls a bank in process, with a token."""

    def __init__(self, *, strict: bool = False, scopes: frozenset[str] = SCOPES, delay: float = 1.0) -> None:
        self.time = START
        self.events: list[Event] = []
        random = Random(7)  # noqa: S311 - protects nothing
        self.faults = Faults(random.random)

        def new_uuid() -> UUID:
            return UUID(int=random.getrandbits(128), version=4)

        self.bank = Bank(
            now=lambda: self.time, new_uuid=new_uuid, delay=delay, strict=strict, on_event=self.events.append
        )
        self.tokens = Tokens(
            client_id="me",
            client_secret="s3cret",
            now=lambda: self.time,
            new_token=lambda: new_uuid().hex,
            scopes=scopes,
        )
        self.http_api = HttpApi(self.bank, self.tokens, self.faults)
        self.validator = ResponseValidator(description())
        self.keys = iter(range(10_000))
        self.token = self.log_in()

    def log_in(self, **more: str) -> str:
        """Get a new token."""
        return str(self.call("POST", TOKEN, {**CREDENTIALS, **more})["access_token"])

    def request(
        self, method: str, path: str, body: Any = None, *, key: str | None = "", query: Any = (), **headers: str
    ) -> Request:
        """A request with a token, and with a new idempotency key unless a key or None is given."""
        sent = {"content-type": "application/json", "authorization": f"Bearer {getattr(self, 'token', '')}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["idempotency-key"] = key or f"key-{next(self.keys)}"
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return Request(method, path, query, sent, raw)

    def respond(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "",
        query: Sequence[tuple[str, str]] = (),
        validated: bool = True,
        **headers: str,
    ) -> Response:
        """Make a call; returns its response."""
        request = self.request(method, path, body, key=key, query=query, **headers)
        response = self.http_api.handle(request)
        if validated:
            self.validator.check(request, response)
        return response

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Make a call that succeeds; returns its JSON."""
        response = self.respond(method, path, body, **more)
        assert response.status == 200, response.body
        return json.loads(response.body) if response.body else None

    def problem(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str, list[str]]:
        """Make a call that fails; returns its status, code and invalid parameters."""
        response = self.respond(method, path, body, **more)
        error = json.loads(response.body)
        assert error["status"] in (str(response.status), response.status)
        return response.status, error["code"], [one["parameter"] for one in error.get("invalid_parameters", [])]

    def send(self, **changes: Any) -> Any:
        """Send a payment."""
        return self.call("POST", PAYMENTS, {**ORDER, **changes})

    def send_to(self, account_number: str, **changes: Any) -> Any:
        """Send a payment to an account number that chooses its outcome."""
        return self.send(creditor={"name": "Alex Smith", "account_number": account_number}, **changes)

    def receive(self, **changes: Any) -> Any:
        """Simulate an incoming payment; returns it once it was received."""
        self.call("POST", f"{SIMULATE}/incoming", {**INCOMING, **changes})
        self.advance()
        return self.call("GET", PAYMENTS, query=[("direction", "incoming"), ("limit", "1")])["objects"][0]

    def retrieve(self, payment: Mapping[str, Any]) -> Any:
        """The payment's current version."""
        return self.call("GET", f"{PAYMENTS}/{payment['id']}")

    def change(self, payment: Mapping[str, Any], operation: str, **body: Any) -> Any:
        """Call an operation on a payment that succeeds."""
        return self.call("POST", f"{PAYMENTS}/{payment['id']}/{operation}", body or None)

    def simulate(self, payment: Mapping[str, Any], operation: str, **body: Any) -> None:
        """Call a simulation on a payment, and wait for its effect."""
        self.call("POST", f"{SIMULATE}/{payment['id']}/{operation}", body or None)
        self.advance()

    def advance(self, seconds: float = 60.0) -> None:
        """Move the time; what becomes due happens at its own time."""
        end = self.time + seconds
        while (due := self.bank.next_due) is not None and due <= end:
            self.time = max(self.time, due)
            self.bank.run_due()
        self.time = end

    def new_events(self) -> list[str]:
        """The types of the events since the last call, without their prefix."""
        types = [event.type.removeprefix("instant_payment.") for event in self.events]
        self.events.clear()
        return types

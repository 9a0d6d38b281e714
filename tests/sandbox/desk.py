"""A bank in process, with a clock that a test moves; every answer is held against the description that it serves."""

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
from leadpay.sandbox.http_api import Answer, Call, HttpApi
from leadpay.sandbox.models import Event
from leadpay.sandbox.openapi import description
from leadpay.sandbox.tokens import Tokens

ACCOUNT = "account_number_xyz123"
ORDER: dict[str, Any] = {
    "account_number_id": ACCOUNT,
    "amount": 5000,
    "currency_code": "USD",
    "creditor": {"name": "Alex Smith", "account_number": "1234567890"},
    "creditor_agent": {"routing_number": "111000111"},
    "description": "Invoice 12345",
}
ARRIVAL: dict[str, Any] = {
    "creditor_account_number_id": ACCOUNT,
    "amount": 7500,
    "currency_code": "USD",
    "debtor": {"name": "Robin Brown", "account_number": "1234567890"},
    "debtor_agent": {"routing_number": "111000111"},
    "payment_identifiers": {"end_to_end_id": "E2E-1"},
}
PAYMENTS, SIMULATE = "/v1/instant_payments", "/v1/simulate/instant_payments"


def _without_nullable(schema: Any) -> Any:
    """OpenAPI 3.0 says ``nullable`` where JSON Schema allows a type more."""
    if isinstance(schema, list):
        return [_without_nullable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {name: _without_nullable(value) for name, value in schema.items()}
    return {"anyOf": [changed, {"type": "null"}]} if changed.pop("nullable", False) else changed


class Judge:
    """Holds answers against a description."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = _without_nullable(document)
        self.paths = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), item) for path, item in self.document["paths"].items()
        ]

    def check(self, call: Call, answer: Answer) -> None:
        """Fail where the status or the body is not described."""
        operation = next(
            (item[call.method.lower()] for path, item in self.paths if path.fullmatch(call.path)),
            None,
        )
        assert operation is not None, f"{call.method} {call.path} is not described"
        assert str(answer.status) in operation["responses"], f"{call.path}: {answer.status} is not described"
        content = operation["responses"][str(answer.status)].get("content")
        if content is None:
            assert answer.body == b"", f"{call.path}: a body that is not described"
            return
        schema = {**content["application/json"]["schema"], "components": self.document["components"]}
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(json.loads(answer.body))


class Desk:
    """Asks a bank in process, as somebody with a token."""

    def __init__(self, *, strict: bool = False, scopes: frozenset[str] = SCOPES, delay: float = 1.0) -> None:
        self.time = START
        self.told: list[Event] = []
        dice = Random(7)  # noqa: S311 - guards nothing
        self.faults = Faults(dice.random)

        def new_uuid() -> UUID:
            return UUID(int=dice.getrandbits(128), version=4)

        self.bank = Bank(
            now=lambda: self.time, new_uuid=new_uuid, delay=delay, strict=strict, on_event=self.told.append
        )
        self.tokens = Tokens(
            client_id="me",
            client_secret="s3cret",
            now=lambda: self.time,
            new_token=lambda: new_uuid().hex,
            scopes=scopes,
        )
        self.face = HttpApi(self.bank, self.tokens, self.faults)
        self.judge = Judge(description())
        self.keys = iter(range(10_000))
        self.token = self.login()

    def login(self) -> str:
        """A fresh token."""
        body = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "s3cret"}
        return str(self.ask("POST", "/v1/oauth/token", body)["access_token"])

    def answer(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "",
        query: Sequence[tuple[str, str]] = (),
        judged: bool = True,
        **headers: str,
    ) -> Answer:
        """Make a call; a fresh idempotency key unless one is given or None."""
        sent = {"content-type": "application/json", "authorization": f"Bearer {getattr(self, 'token', '')}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["idempotency-key"] = key or f"key-{next(self.keys)}"
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        call = Call(method, path, query, sent, raw)
        answer = self.face.handle(call)
        if judged:
            self.judge.check(call, answer)
        return answer

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Make a call that succeeds, and give its JSON."""
        answer = self.answer(method, path, body, **more)
        assert answer.status == 200, answer.body
        return json.loads(answer.body) if answer.body else None

    def refused(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str, list[str]]:
        """Make a call that fails, and give its status, code and invalid parameters."""
        answer = self.answer(method, path, body, **more)
        error = json.loads(answer.body)
        assert error["status"] in (str(answer.status), answer.status)
        return answer.status, error["code"], [one["parameter"] for one in error.get("invalid_parameters", [])]

    def send(self, **changes: Any) -> Any:
        """Send a payment."""
        return self.ask("POST", PAYMENTS, {**ORDER, **changes})

    def send_to(self, account_number: str, **changes: Any) -> Any:
        """Send a payment to an account number that chooses its outcome."""
        return self.send(creditor={"name": "Alex Smith", "account_number": account_number}, **changes)

    def receive(self, **changes: Any) -> Any:
        """Let a payment come in, and give it once it has."""
        self.ask("POST", f"{SIMULATE}/incoming", {**ARRIVAL, **changes})
        self.wait()
        return self.ask("GET", PAYMENTS, query=[("direction", "incoming"), ("limit", "1")])["objects"][0]

    def read(self, payment: Mapping[str, Any]) -> Any:
        """The payment as it is now."""
        return self.ask("GET", f"{PAYMENTS}/{payment['id']}")

    def act(self, payment: Mapping[str, Any], action: str, **body: Any) -> Any:
        """Do something to a payment that succeeds."""
        return self.ask("POST", f"{PAYMENTS}/{payment['id']}/{action}", body or None)

    def simulate(self, payment: Mapping[str, Any], what: str, **body: Any) -> None:
        """Let something happen to a payment, and wait until it has."""
        self.ask("POST", f"{SIMULATE}/{payment['id']}/{what}", body or None)
        self.wait()

    def wait(self, seconds: float = 60.0) -> None:
        """Let time pass, moment by moment."""
        end = self.time + seconds
        while (due := self.bank.next_due) is not None and due <= end:
            self.time = max(self.time, due)
            self.bank.run_due()
        self.time = end

    @property
    def heard(self) -> list[str]:
        """The types of the events since the last look, without their prefix."""
        types = [event.type.removeprefix("instant_payment.") for event in self.told]
        self.told.clear()
        return types

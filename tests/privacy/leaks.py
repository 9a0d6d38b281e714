"""The canaries, and the detector that looks for them in logs, errors, reprs, observations, spans, metrics and output.

Personal data and secrets belong in these places, and in no others:

* arguments of the program and what it gets back: the attributes of models, a handler's ``event``;
* requests to the bank over TLS: the client secret to its token endpoint, the token in a header;
* ``error.detail``, ``error.title``, ``error.instance`` and ``error.invalid_parameters`` of an APIError, which the bank
  wrote and which may quote the request; and ``error.body`` of a MalformedResponseError;
* an error that the program raised itself: a token provider's error is the cause of ours;
* the inbox: the body of an event until it is purged, and the reason for a discard;
* output that was asked for: ``--json``, ``leadpay trigger`` without ``--to``, and ``leadpay sandbox``, which
  prints environment variables. ``show`` without ``--json`` prints the last four digits of an account number.

An idempotency key is printed and logged, because a call is resumed with it. It must not contain a name.
Local variables are not covered: an error tracker that collects them must be configured not to.
"""

import logging
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

from leadpay.instrumentation import Observation
from leadpay.models import Agent, Party
from tests.support.telemetry import RecordedTelemetry

NAME, OTHER_NAME = "Wilhelmina Quillfeather", "Ottoline Brackenbury"
ACCOUNT, OTHER_ACCOUNT = "70551234987612345", "88660011223344556"
DESCRIPTION, DETAILS = "dowry of the third niece", "she married the gardener"
CLIENT_SECRET, TOKEN = "hush_client_5f1e", "hush_token_77aa"
WEBHOOK_SECRET, OLDER_SECRET = "whsec_hush_b7d2", "whsec_hush_0c4e"
PASSWORD = "hush_database_91"
MESSAGE = "what only the handler knew"
REASON = "the handler's reason"
"""Belongs in the inbox, and in the output of ``leadpay inbox show``."""

CANARIES: Final[Mapping[str, str]] = {
    "name": NAME,
    "other name": OTHER_NAME,
    "account number": ACCOUNT,
    "other account number": OTHER_ACCOUNT,
    "description": DESCRIPTION,
    "details": DETAILS,
    "client secret": CLIENT_SECRET,
    "token": TOKEN,
    "webhook secret": WEBHOOK_SECRET,
    "older webhook secret": OLDER_SECRET,
    "database password": PASSWORD,
    "message": MESSAGE,
    "discarding": REASON,
}
PARTY, OTHER = Party(name=NAME, account_number=ACCOUNT), Party(name=OTHER_NAME, account_number=OTHER_ACCOUNT)
AGENT = Agent(routing_number="111000111")
PAYMENT: Final[Mapping[str, Any]] = {
    "account_number_id": "account_number_1",
    "amount": 5000,
    "creditor": PARTY,
    "creditor_agent": AGENT,
    "description": DESCRIPTION,
}
"""The arguments of ``send()``."""


def find_canaries(text: str, canaries: Mapping[str, str] = CANARIES) -> set[str]:
    """Find canaries in a text, in any case and also URL-encoded."""
    searched = f"{text}\n{unquote_plus(text)}".casefold()
    return {name for name, canary in canaries.items() if canary.casefold() in searched}


def format_error(error: BaseException) -> str:
    """Format an error in every common way: str, repr, notes, and the tracebacks of all its causes."""
    lines = traceback.format_exception(error)
    return "\n".join([str(error), repr(error), repr(error.args), *getattr(error, "__notes__", ()), *lines])


class LeakDetector:
    """Collects logs, observations, spans, metrics and recorded objects, and finds canaries in them."""

    def __init__(self, told: RecordedTelemetry) -> None:
        self.told = told
        self.observations: list[Observation] = []
        self.canaries = dict(CANARIES)
        self.recorded: dict[str, str] = {}
        self.logs: list[logging.LogRecord] = []

    def observe(self, observation: Observation) -> None:
        """Collect an observation; this is an observer."""
        self.observations.append(observation)
        self.told.telemetry(observation)

    def record(self, **values: Any) -> None:
        """Collect texts, errors, and the reprs of other objects."""
        for name, value in values.items():
            if isinstance(value, BaseException):
                self.recorded[name] = format_error(value)
            else:
                self.recorded[name] = value if isinstance(value, str) else f"{value!r}\n{value}"

    def texts(self) -> Iterator[tuple[str, str]]:
        """Everything that was collected, with its source."""
        yield from self.recorded.items()
        formatter = logging.Formatter("%(name)s %(message)s")
        for record in self.logs:
            yield f"log of {record.name}", f"{formatter.format(record)} {record.args!r} {record.stack_info}"
        for observation in self.observations:
            yield f"observation {type(observation).__name__}", repr(observation)
        for span in self.told.spans:
            yield f"span {span.name}", str(span.to_json())
        data = self.told.reader.get_metrics_data()
        yield "metrics", "" if data is None else str(data.to_json())

    def found(self) -> list[tuple[str, set[str]]]:
        """The sources that contain canaries, and which."""
        return [(source, names) for source, text in self.texts() if (names := find_canaries(text, self.canaries))]

"""What must not get out, where it may be, and the net that everything else goes through.

Where personal data and secrets belong, and nowhere else:

* in what the program passes in and gets back: arguments, the attributes of models, a handler's ``event``;
* in the requests to the bank, over TLS: the client secret to its token endpoint, the token in a header;
* in ``error.detail``, ``error.title``, ``error.instance`` and ``error.invalid_parameters`` of an APIError: the bank's
  own words, which may quote what was sent; and in ``error.body`` of a MalformedResponseError;
* in an error of the program's own: a token provider's failure is the cause of ours;
* in an inbox: the body of an event until it is purged, and the reason that a handler or a person gave for a discard;
* on a screen that asked for it: ``--json``, ``leadpay trigger`` without ``--to``, and ``leadpay sandbox``, which
  prints the environment to paste. ``show`` without ``--json`` prints the last four digits of an account number.

An idempotency key is shown and logged: it is what a call is resumed with, so it must not be made of a name.
Local variables are not covered: an error tracker that collects those of every frame has to be told not to.
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
"""Belongs in the inbox, and in what ``leadpay inbox show`` prints."""

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
"""What is sent."""


def caught(text: str, canaries: Mapping[str, str] = CANARIES) -> set[str]:
    """Find canaries in a text, in whatever case, and however a URL would write them."""
    seen = f"{text}\n{unquote_plus(text)}".casefold()
    return {name for name, canary in canaries.items() if canary.casefold() in seen}


def written(error: BaseException) -> str:
    """Write an error as everybody might: by hand, with its notes, and with the tracebacks of all its causes."""
    lines = traceback.format_exception(error)
    return "\n".join([str(error), repr(error), repr(error.args), *getattr(error, "__notes__", ()), *lines])


class Net:
    """Catches what gets out: logs, facts, spans, metrics, and whatever it is shown."""

    def __init__(self, told: RecordedTelemetry) -> None:
        self.told = told
        self.facts: list[Observation] = []
        self.canaries = dict(CANARIES)
        self.shown: dict[str, str] = {}
        self.logs: list[logging.LogRecord] = []

    def observe(self, fact: Observation) -> None:
        """Be an observer."""
        self.facts.append(fact)
        self.told.telemetry(fact)

    def show(self, **things: Any) -> None:
        """Look at texts, errors, and the reprs of everything else."""
        for where, thing in things.items():
            if isinstance(thing, BaseException):
                self.shown[where] = written(thing)
            else:
                self.shown[where] = thing if isinstance(thing, str) else f"{thing!r}\n{thing}"

    def texts(self) -> Iterator[tuple[str, str]]:
        """Everything, and where it was found."""
        yield from self.shown.items()
        formatter = logging.Formatter("%(name)s %(message)s")
        for record in self.logs:
            yield f"log of {record.name}", f"{formatter.format(record)} {record.args!r} {record.stack_info}"
        for fact in self.facts:
            yield f"fact {type(fact).__name__}", repr(fact)
        for span in self.told.spans:
            yield f"span {span.name}", str(span.to_json())
        data = self.told.reader.get_metrics_data()
        yield "metrics", "" if data is None else str(data.to_json())

    def leaks(self) -> list[tuple[str, set[str]]]:
        """What got out, and where."""
        return [(where, found) for where, text in self.texts() if (found := caught(text, self.canaries))]

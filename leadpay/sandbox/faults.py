"""What goes wrong on request: frozen faults, counted and seeded, so that a run can be repeated. Pure."""

from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import Any, Final

import attrs

KINDS: Final[Mapping[str, str]] = {
    "cut_before": "the connection is cut before the request is processed",
    "response_lost": "the request is processed, and the connection cut without a response",
    "response_cut": "the request is processed, and the connection cut after VALUE bytes of the response's body (10)",
    "slow": "the request is processed, and the response waits for VALUE seconds (5)",
    "rate_limited": "429 with Retry-After: VALUE seconds (1)",
    "rate_limited_date": "429 with Retry-After: an HTTP date, VALUE seconds from now (1)",
    "server_error": "500, and the request is not processed",
    "server_error_after": "500 although the request was processed",
    "bad_gateway": "502 with a proxy's HTML page, and the request is not processed",
    "bad_gateway_after": "502 with a proxy's HTML page although the request was processed",
    "proxy_error": "a proxy responds with STATUS, TYPE and BODY, and the request is not processed",
    "proxy_error_after": "a proxy responds with STATUS, TYPE and BODY although the request was processed",
    "foreign_response": "the request is processed, and the response is about another object",
    "late_response": "from now on, requests on this connection get the response to the request before",
    "unsolicited_response": "VALUE seconds after the response, a proxy writes another to the idle connection (0.02)",
    "rate_limit": "429 with Retry-After for requests over VALUE in a second (50)",
    "rate_limit_silent": "429 without Retry-After for requests over VALUE in a second (50)",
    "source_ip_refused": "403: the client's address is not allowed",
    "key_forgotten": "an idempotency key is forgotten VALUE seconds after its response (86400)",
    "in_progress": "409 as if a request with this key were in progress (operations with a key only)",
    "token_refused": "the token endpoint refuses with 400",
    "token_expired": "401: the access token expires early",
    "same_token": "the token endpoint returns the last token again, revoked or not, with less time left",
    "webhook_first": "the webhooks that a request causes arrive before its response",
    "webhook_duplicate": "the webhook is sent twice",
    "webhook_delayed": "the webhook waits for VALUE seconds (1)",
    "webhook_reordered": "the webhook is sent after the next one, or after VALUE seconds if there is no next one (1)",
    "webhook_old_timestamp": "a redelivery carries the time and the signature of the first attempt",
    "unreadable_object": "one object of a list has a status of the wrong type",
    "unknown_value": "reasons have values that no list contains",
    "unknown_field": "every object has an unknown field",
    "older_spellings": "reasons and event types have their older spellings",
}
"""Every kind of fault, and what it does; the number in brackets is the default of VALUE."""

DEFAULT_VALUES: Final[Mapping[str, float]] = {
    "response_cut": 10,
    "slow": 5,
    "rate_limited": 1,
    "rate_limited_date": 1,
    "unsolicited_response": 0.02,
    "rate_limit": 50,
    "rate_limit_silent": 50,
    "key_forgotten": 86_400,
    "webhook_delayed": 1,
    "webhook_reordered": 1,
}
"""The default of VALUE."""

DEFAULT_STATUSES: Final[Mapping[str, int]] = {"bad_gateway": 502, "bad_gateway_after": 502}
"""The default of STATUS where it is not 400."""

FORM: Final = "KIND[:OPERATION][:TIMES][:PROBABILITY%][:value=VALUE][:status=STATUS][:type=TYPE][:body=BODY]"
"""The text form of a fault."""

WEBHOOK: Final = "webhook"
"""The operation of a fault that affects the delivery of webhooks."""

ANY: Final = "*"
"""Every operation."""

OLDER_SPELLINGS: Final[Mapping[str, str]] = {
    "duplication": "duplicate",
    "fraud_suspected": "fraudulent",
    "customer_no_response": "no_answer_from_customer",
    "honor_return_request": "following_return_request",
    "undue_payment": "not_justified",
    "initiating_party_unrecognized": "unknown_sender",
    "creditor_account_number_invalid": "invalid_creditor_account_number",
    "customer_requested": "requested_by_customer",
    "instant_payment.counterparty_status_updated": "instant_payment.counterparty_status_update",
    "instant_payment.return_request_status_updated": "instant_payment.return_request_status_update",
}
"""Values in the spelling of the bank's older pages."""


_FIRST_ERROR, _LAST_STATUS = 400, 599


@attrs.frozen(kw_only=True)
class Fault:
    """One thing that goes wrong.

    Args:
        kind: one of :data:`leadpay.sandbox.faults.KINDS`.
        operation: an operation's name such as ``send``, ``token`` or ``webhook``; ``*`` for all.
        times: how often; None for no limit.
        probability: how likely each time, from 0 to 1.
        value: seconds, bytes or requests; see :data:`leadpay.sandbox.faults.KINDS`.
        status: of a proxy's response.
        content_type: of a proxy's response.
        body: of a proxy's response; an HTML page that names the status if left out.

    Raises:
        ValueError: one of them is out of range.
    """

    kind: str
    operation: str = ANY
    times: int | None = None
    probability: float = 1.0
    value: float = attrs.field(default=attrs.Factory(lambda self: DEFAULT_VALUES.get(self.kind, 0), takes_self=True))
    status: int = attrs.field(default=attrs.Factory(lambda self: DEFAULT_STATUSES.get(self.kind, 400), takes_self=True))
    content_type: str = "text/html"
    body: str = attrs.field(default=attrs.Factory(lambda self: f"<html>{self.status}</html>", takes_self=True))

    def __attrs_post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fault: kind must be one of {', '.join(KINDS)}")
        if self.times is not None and self.times < 1:
            raise ValueError("fault: times must be 1 or more")
        if not 0 <= self.probability <= 1 or self.value < 0:
            raise ValueError("fault: probability must be from 0 to 1, and value 0 or more")
        if not _FIRST_ERROR <= self.status <= _LAST_STATUS:
            raise ValueError("fault: status must be from 400 to 599")


class Faults:
    """The faults that are active. A test may add some from another thread than the bank's.

    Args:
        random: returns a number from 0 to 1; seeded, so that a run can be repeated.
    """

    __slots__ = ("_active", "_lock", "_random", "triggered")

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._active: list[tuple[Fault, int | None]] = []
        self._lock = Lock()
        self.triggered: dict[str, int] = {}
        """How often each kind was triggered."""

    def add(self, fault: Fault | str, **fields: Any) -> None:
        """Activate a fault.

        Args:
            fault: the fault, or its text form; see :func:`parse`.
            fields: fields of :class:`Fault` to change, as in ``add("proxy_error", operation="send", status=405)``.

        Raises:
            ValueError: the text cannot be read, or a field is out of range.
        """
        found = parse(fault, **fields) if isinstance(fault, str) else attrs.evolve(fault, **fields)
        with self._lock:
            self._active.append((found, found.times))

    @property
    def active(self) -> list[tuple[Fault, int | None]]:
        """The faults that are active, each with how often it still happens; None for no limit."""
        with self._lock:
            return list(self._active)

    def clear(self) -> None:
        """Deactivate every fault."""
        with self._lock:
            self._active.clear()

    def trigger(
        self, kinds: Iterable[str], operation: str, when: Callable[[Fault], bool] = lambda _: True
    ) -> Fault | None:
        """The first active fault of these kinds that happens now, counted; None if none does.

        Args:
            kinds: those that can happen now.
            operation: the operation, ``token`` or ``webhook``.
            when: whether a fault would have an effect; one that has none stays active.
        """
        wanted = frozenset(kinds)
        with self._lock:
            for index, (fault, left) in enumerate(self._active):
                applies = fault.kind in wanted and fault.operation in {ANY, operation} and when(fault)
                if applies and self._random() < fault.probability:
                    self._active[index : index + 1] = [] if left == 1 else [(fault, left and left - 1)]
                    self.triggered[fault.kind] = self.triggered.get(fault.kind, 0) + 1
                    return fault
        return None

    def change_data(self, shown: Any, operation: str) -> Any:
        """The JSON of a response or a webhook, with the data faults that happen now."""
        for kind, change in _DATA_FAULTS:
            changed = change(shown)
            if changed != shown and self.trigger((kind,), operation):
                shown = changed
        return shown


def parse(text: str, **fields: Any) -> Fault:
    """Read a fault as a command line has it.

    The form is :data:`FORM`.
    ``response_lost:send:3`` loses three responses to send; ``slow:10%:value=2`` makes every tenth response two seconds
    late; ``proxy_error_after:send:1:status=405`` hides one payment behind a proxy's 405.

    Args:
        text: the fault.
        fields: more fields of :class:`Fault`.

    Raises:
        ValueError: it cannot be read.
    """
    head, separator, body = text.strip().partition(":body=")
    kind, *parts = head.split(":")
    found: dict[str, Any] = {"body": body} if separator else {}
    for part in parts:
        found |= _part(part)
    return Fault(**{"kind": kind, **found, **fields})


def _part(part: str) -> dict[str, Any]:
    if part.isdecimal():
        return {"times": int(part)}
    try:
        if part.endswith("%"):
            return {"probability": float(part[:-1]) / 100}
        if part.startswith("value="):
            return {"value": float(part.removeprefix("value="))}
        if part.startswith("status="):
            return {"status": int(part.removeprefix("status="))}
    except ValueError:
        raise ValueError("fault: PROBABILITY%, value=VALUE and status=STATUS need a number") from None
    if part.startswith("type="):
        return {"content_type": part.removeprefix("type=")}
    if part != ANY and not part.replace("_", "").isalpha():
        raise ValueError(f"fault: must be {FORM}")
    return {"operation": part}


def describe() -> str:
    """Every kind as text, for a README and for ``--help``."""
    return "\n".join(f"  {kind:<23}{summary}" for kind, summary in KINDS.items())


def _map_strings(shown: Any, change: Callable[[str, str], str], field: str = "") -> Any:
    """The JSON with every string changed; ``change`` gets the name of its field and the string."""
    if isinstance(shown, dict):
        return {name: _map_strings(value, change, name) for name, value in shown.items()}
    if isinstance(shown, list):
        return [_map_strings(value, change) for value in shown]
    return change(field, shown) if isinstance(shown, str) else shown


def _spell_as_before(shown: Any) -> Any:
    # A description is the customer's own text.
    fields = {"reason", "rejection_reason", "event"}
    return _map_strings(shown, lambda field, text: OLDER_SPELLINGS.get(text, text) if field in fields else text)


def _make_values_unknown(shown: Any) -> Any:
    # Only values that a reader can ignore: an unknown status or type would mean something else.
    fields = {"reason", "rejection_reason"}
    return _map_strings(shown, lambda field, text: f"{text}_as_never_before" if field in fields else text)


def _add_fields(shown: Any) -> Any:
    if isinstance(shown, dict):
        return {**{name: _add_fields(value) for name, value in shown.items()}, "added_tomorrow": {"by": ["the bank"]}}
    if isinstance(shown, list):
        return [_add_fields(value) for value in shown]
    return shown


def _break_object(shown: Any) -> Any:
    if not isinstance(shown, dict) or not shown.get("objects"):
        return shown
    *earlier, broken = shown["objects"][: len(shown["objects"]) // 2 + 1]
    # An event keeps its own fields; its object is what cannot be read.
    unreadable = {**broken, **({"object": {**broken["object"], "status": 7}} if "object" in broken else {"status": 7})}
    return {**shown, "objects": [*earlier, unreadable, *shown["objects"][len(earlier) + 1 :]]}


_DATA_FAULTS: Final = (
    ("unreadable_object", _break_object),
    ("older_spellings", _spell_as_before),
    ("unknown_value", _make_values_unknown),
    ("unknown_field", _add_fields),
)

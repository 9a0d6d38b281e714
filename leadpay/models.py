"""The bank's objects, as frozen attrs classes. Money is integer cents; times are aware; nothing is coerced.

Fields that we don't know yet are kept in ``unknown_fields`` and come back out of ``leadpay.unstructure``.
A repr shows no name, no account number, no token and no free text, because values are logged.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeAlias

import attrs

from leadpay.enums import (
    AccountNumberStatus,
    CounterpartyFilter,
    CounterpartyStatus,
    CurrencyCode,
    Direction,
    EventType,
    RejectedBy,
    RejectionReason,
    ResolvedBy,
    ReturnReason,
    ReturnRequestReason,
    ReturnRequestRejectionReason,
    ReturnRequestStatus,
    Status,
)
from leadpay.errors import InvalidRequestError, Problem
from leadpay.explanations import Explanation, explain

EXPECTED: Final = "expected"
"""In the metadata of an optional field: whether it is drift if the bank leaves it out (``leadpay.drift``)."""

MAX_AMOUNT: Final = 2**63 - 1
"""Largest amount in cents: the bank's integers have 64 bits."""

MAX_FRACTION_DIGITS: Final = 30
"""Longest fraction that ``cents`` looks at: enough for any price, and a bound on the size of its integers."""

Cents: TypeAlias = int
"""An amount of money: a whole number of cents."""

ObjectId: TypeAlias = Annotated[str, "ID"]
"""An ID by which an object is stored: 1 to 255 visible ASCII characters."""

Seconds: TypeAlias = Annotated[int, "seconds"]
"""A number of seconds. The bank may write it as a string of digits."""

_DOLLARS: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def cents(amount: str | Decimal) -> Cents:
    """Turn dollars into cents, exactly: ``cents("19.99")`` is 1999.

    Args:
        amount: dollars as a string of digits with an optional fraction, or as a Decimal.

    Returns:
        The amount in cents.

    Raises:
        InvalidRequestError: it is a float, a bool or an int (dollars or cents?), is negative or not a number,
            has a fraction of a cent, or is larger than the bank's integers.
    """
    if isinstance(amount, str):
        if not _DOLLARS.fullmatch(amount):
            raise _amount("must be digits with an optional fraction, such as '19.99'")
        amount = Decimal(amount)
    elif not isinstance(amount, Decimal):
        raise _amount(f"must be a str or a Decimal of dollars, not {type(amount).__name__}")
    if not amount.is_finite() or amount < 0:
        raise _amount("must be a number that is not negative")
    if amount > MAX_AMOUNT:
        raise _amount("is larger than the bank's integers")
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > MAX_FRACTION_DIGITS:
        raise _amount(f"has more than {MAX_FRACTION_DIGITS} digits after the point")
    # A decimal context could round silently, so the division is done with integers.
    numerator, denominator = amount.as_integer_ratio()
    whole, rest = divmod(numerator * 100, denominator)
    if rest:
        raise _amount("has a fraction of a cent")
    if whole > MAX_AMOUNT:
        raise _amount("is larger than the bank's integers")
    return whole


def _amount(reason: str) -> InvalidRequestError:
    return InvalidRequestError([Problem("amount", reason)], operation="cents")


# No weak references, here and below: a payment is a dozen objects, and each is eight bytes smaller.
@attrs.frozen(kw_only=True, weakref_slot=False)
class Model:
    """The base of all models."""

    _unknown_fields: Mapping[str, Any] | None = attrs.field(default=None, repr=False, hash=False)

    @property
    def unknown_fields(self) -> Mapping[str, Any]:
        """The fields that this version of leadpay doesn't know, as they came in."""
        return self._unknown_fields or _NOTHING


@attrs.frozen(kw_only=True, weakref_slot=False)
class Party(Model):
    """A debtor or a creditor. ``name`` has 3 to 35 characters, ``account_number`` 1 to 17."""

    name: str = attrs.field(repr=False)
    account_number: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class Agent(Model):
    """A financial institution, by its nine-digit routing number."""

    routing_number: str


@attrs.frozen(kw_only=True, weakref_slot=False)
class PaymentIdentifiers(Model):
    """The numbers under which the network knows a payment; the caller can set none of them."""

    end_to_end_id: str | None = None
    uetr: str | None = None
    transaction_id: str | None = None


@attrs.frozen(kw_only=True, weakref_slot=False)
class Return(Model):
    """Why a payment is a return."""

    reason: ReturnReason
    details: str | None = attrs.field(default=None, repr=False)

    def explain(self) -> Explanation:
        """Say what the reason means, who must act, and whether to send the payment again."""
        return explain(self.reason, ReturnReason)


@attrs.frozen(kw_only=True, weakref_slot=False)
class Rejection(Model):
    """Who rejected a payment, and why."""

    rejected_by: RejectedBy
    reason: RejectionReason
    details: str | None = attrs.field(default=None, repr=False)

    def explain(self) -> Explanation:
        """Say what the reason means, who must act, and whether to send the payment again."""
        return explain(self.reason, RejectionReason, rejected_by=self.rejected_by)


@attrs.frozen(kw_only=True, weakref_slot=False)
class RelatedObjects(Model):
    """A return's original, and an original's returns."""

    original_payment_id: str | None = None
    return_payment_ids: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True, weakref_slot=False)
class ReturnRequestResolution(Model):
    """How a return request ended."""

    resolved_at: datetime
    resolved_by: ResolvedBy
    rejection_reason: ReturnRequestRejectionReason | None = None
    rejection_details: str | None = attrs.field(default=None, repr=False)

    def explain(self) -> Explanation | None:
        """Say what the reason of a rejection means; None if there is none."""
        reason = self.rejection_reason
        return None if reason is None else explain(reason, ReturnRequestRejectionReason)


@attrs.frozen(kw_only=True, weakref_slot=False)
class ReturnRequest(Model):
    """A request to return a payment: ours for an outgoing payment, the counterparty's for an incoming one."""

    status: ReturnRequestStatus
    reason: ReturnRequestReason
    created_at: datetime
    details: str | None = attrs.field(default=None, repr=False)
    deadline_: datetime | None = attrs.field(default=None, metadata={EXPECTED: True})
    """``deadline`` as the bank sent it: it leaves the field out at times."""
    resolution: ReturnRequestResolution | None = None

    def explain(self) -> Explanation:
        """Say what the reason means, and who must act."""
        return explain(self.reason, ReturnRequestReason)

    @property
    def deadline(self) -> datetime:
        """When a reaction is due; the bank rejects an incoming request at midnight if there was none.

        Where the bank sent none, it is computed from the Federal Reserve's business days, and ``deadline_is_computed``:
        23:30 in New York on the tenth day, or 00:00 for a request of ours, which is ``pending`` (the bank's pages on
        receiving and sending).
        """
        if self.deadline_ is not None:
            return self.deadline_
        from leadpay.business_days import return_request_deadline  # noqa: PLC0415 - few requests need it

        is_ours = self.status == ReturnRequestStatus.PENDING
        return return_request_deadline(self.created_at, direction="outgoing" if is_ours else "incoming")

    @property
    def deadline_is_computed(self) -> bool:
        """Whether the bank sent no deadline, so that ``deadline`` is by our own calendar."""
        return self.deadline_ is None

    @property
    def is_active(self) -> bool:
        """Whether it is still open: neither accepted nor rejected, by us or by the counterparty.

        One in a status that this version does not know is open until it has a resolution.
        """
        if self.status.is_known:
            return self.status in (ReturnRequestStatus.PENDING, ReturnRequestStatus.RESPONSE_NEEDED)
        return self.resolution is None


def _created_at(payment: "InstantPayment") -> datetime:
    return payment.created_at


@attrs.frozen(kw_only=True, weakref_slot=False)
class InstantPayment(Model):
    """A payment, or the return of one.

    ``status`` is our side and ``counterparty_status`` theirs: a posted payment has not arrived (the bank's page
    on rejections and returns).
    """

    id: ObjectId
    account_id: str
    account_number_id: str
    direction: Direction
    status: Status
    amount: Cents
    currency_code: CurrencyCode
    debtor: Party
    debtor_agent: Agent
    creditor: Party
    creditor_agent: Agent
    created_at: datetime
    updated_at: datetime = attrs.field(default=attrs.Factory(_created_at, takes_self=True))
    payment_identifiers: PaymentIdentifiers = PaymentIdentifiers()
    related_objects: RelatedObjects = RelatedObjects()
    return_requests: tuple[ReturnRequest, ...] = ()
    counterparty_status: CounterpartyStatus | None = None
    description: str | None = attrs.field(default=None, repr=False)
    rejection: Rejection | None = None
    return_: Return | None = None
    """``return`` on the wire; present exactly when this payment is a return."""

    @property
    def is_return(self) -> bool:
        """Whether this payment gives an earlier one back."""
        return self.return_ is not None

    @property
    def original_payment_id(self) -> str | None:
        """The payment that this one returns; None if it is not a return."""
        return self.related_objects.original_payment_id

    @property
    def return_payment_ids(self) -> tuple[str, ...]:
        """The payments that return this one; empty if there are none."""
        return self.related_objects.return_payment_ids or ()

    @property
    def active_return_request(self) -> ReturnRequest | None:
        """The return request that is still open; there is at most one at a time."""
        return next((request for request in reversed(self.return_requests) if request.is_active), None)

    @property
    def funds_moved(self) -> bool:
        """Whether funds have moved on our account."""
        return self.status == Status.POSTED

    @property
    def has_arrived(self) -> bool:
        """Whether the creditor has the money: posted here and, if outgoing, posted there."""
        outgoing = self.direction == Direction.OUTGOING
        return self.funds_moved and (not outgoing or self.counterparty_status == CounterpartyStatus.POSTED)


@attrs.frozen(kw_only=True, weakref_slot=False)
class Availability(Model):
    """Whether a financial institution can receive instant payments."""

    available: bool
    routing_number: str


@attrs.frozen(kw_only=True, weakref_slot=False)
class AccessToken(Model):
    """A response of the token endpoint. The token appears in no repr."""

    access_token: str = attrs.field(repr=False)
    token_type: str | None = None
    expires_in: Seconds | None = None
    """Lifetime in seconds from the response; the bank may return a token that is partly used up."""
    scope: str | None = None


@attrs.frozen(kw_only=True, weakref_slot=False)
class Event(Model):
    """Something that happened at the bank, of any of its products."""

    id: ObjectId
    event: EventType
    """The type; its ``as_sent`` is the spelling that came. ``type`` is the listed member, for ``is``."""
    created_at: datetime
    object: Any = attrs.field(repr=False, hash=False)
    """The JSON object that the event is about, in its newest version, not a snapshot."""

    @property
    def type(self) -> EventType:
        """What happened: a member of the list, if this version knows it."""
        return self.event.current

    @property
    def payment_id(self) -> str | None:
        """The ID of the instant payment that the event is about, if it is about one."""
        return None


@attrs.frozen(kw_only=True, weakref_slot=False)
class InstantPaymentEvent(Event):
    """Something that happened to an instant payment."""

    object: InstantPayment = attrs.field(repr=False)

    @property
    def payment(self) -> InstantPayment:
        """The payment in its newest version: its status may be later than this event's type says."""
        return self.object

    @property
    def payment_id(self) -> str:
        """The payment's ID."""
        return self.object.id


# Account numbers.


@attrs.frozen(kw_only=True, weakref_slot=False)
class AllowedCounterparty(Model):
    """An account on an allow-list: ``account_number`` has 8 to 17 letters and digits, ``routing_number`` 9 digits."""

    account_number: str = attrs.field(repr=False)
    routing_number: str


@attrs.frozen(kw_only=True, weakref_slot=False)
class CounterpartyControls(Model):
    """Which counterparties are admitted in one direction. None stands for a field that the bank did not send."""

    counterparty_filter: CounterpartyFilter | None = None
    """The bank's default is ``accept_all``."""
    counterparty_account_numbers_allowlist: tuple[AllowedCounterparty, ...] | None = None
    """Those that ``allowlist_only`` admits; it has no effect with another filter."""


@attrs.frozen(kw_only=True, weakref_slot=False)
class InstantPaymentControls(Model):
    """Which counterparties may pay in (``incoming``), and which may be paid (``outgoing``)."""

    incoming: CounterpartyControls | None = None
    outgoing: CounterpartyControls | None = None


@attrs.frozen(kw_only=True, weakref_slot=False)
class AccountNumber(Model):
    """An account number at Lead. Payments are sent from its ID, and received at its number."""

    id: str
    account_id: str
    status: AccountNumberStatus
    account_number: str | None = attrs.field(default=None, repr=False)
    routing_number: str | None = None
    client_customer_id: str | None = attrs.field(default=None, repr=False)
    """Your own ID of the customer that it is assigned to."""
    entity_id: str | None = None
    instant_payment_controls: InstantPaymentControls | None = None
    ach_controls: Any | None = attrs.field(default=None, repr=False, hash=False)
    """The controls of another product as JSON data, like the next two."""
    wire_controls: Any | None = attrs.field(default=None, repr=False, hash=False)
    internal_transfer_controls: Any | None = attrs.field(default=None, repr=False, hash=False)
    metadata: Mapping[str, str] | None = attrs.field(default=None, repr=False, hash=False)
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def is_active(self) -> bool:
        """Whether it sends and receives."""
        return self.status == AccountNumberStatus.ACTIVE


@attrs.frozen(kw_only=True, weakref_slot=False)
class AccountNumberEvent(Event):
    """Something that happened to an account number."""

    object: AccountNumber = attrs.field(repr=False)

    @property
    def account_number(self) -> AccountNumber:
        """The account number in its newest version."""
        return self.object

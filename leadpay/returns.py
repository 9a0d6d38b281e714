"""Return requests of counterparties: kept, reminded of, and decided once, before their deadlines.

The bank rejects a return request that is still open at midnight after the tenth business day, and no webhook tells (its
page on receiving and returning). So requests are fed by events and by a sweep of the bank's list::

    returns = ReturnRequests(inbox, outbox, lead, router=router)
    async with returns:                       # follows events, sweeps the bank's list, gives reminders
        ...
    await returns.accept(payment_id, by="ana")

A reminder is an event in the inbox: its ID is made of the request and the time, so it is there once, and a worker
handles it once, with retries, whatever is restarted.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

import attrs

from leadpay.business_days import return_request_deadline
from leadpay.clock import Clock, SystemClock, utc_datetime
from leadpay.converter import encode, unstructure
from leadpay.enums import (
    CounterpartyStatus,
    Direction,
    ResolvedBy,
    ReturnRequestRejectionReason,
    ReturnRequestRejectionReasonLiteral,
    ReturnRequestStatus,
    Status,
)
from leadpay.errors import (
    LeadError,
    MalformedResponseError,
    NotFoundError,
    ReferenceReusedError,
    ReturnRequestError,
)
from leadpay.inbox import Inbox, Worker
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.models import Event, InstantPayment, InstantPaymentEvent, ReturnRequest
from leadpay.outbox import Instruction, Outbox
from leadpay.storage import Dialect
from leadpay.storage.foreign import Rows, execute
from leadpay.webhooks.context import Context
from leadpay.webhooks.dispatcher import traceback_without_messages
from leadpay.webhooks.event import parse
from leadpay.webhooks.router import REMINDER_TYPE, WebhookRouter

if TYPE_CHECKING:
    from leadpay.client import LeadClient

logger = logging.getLogger("leadpay.returns")

CONSUMER: Final = "leadpay-returns"
"""The inbox's consumer that follows return requests."""

SWEEP_SECONDS: Final = 900.0
"""How often the bank's list is read, in seconds, for requests whose webhook was lost."""

POLL_SECONDS: Final = 30.0
"""How often to look for reminders that are due, in seconds."""

PAGE: Final = 100

RequestState: TypeAlias = Literal["open", "responding", "returning", "returned", "return_failed", "rejected", "expired"]
"""``open``: a decision is needed. ``responding``: one was queued. ``returning``: accepted, and the money is on its way.
``returned``: the return has arrived. ``return_failed``: the return was rejected. ``rejected``: by us. ``expired``: the
bank rejected it at the deadline."""

_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen(kw_only=True)
class KeptRequest:
    """One return request of a counterparty."""

    payment_id: str
    account_number_id: str
    amount: int
    """Cents of the payment."""
    reason: str
    requested_at: datetime
    deadline: datetime
    """Until when it can be decided."""
    deadline_is_computed: bool
    """Whether the bank gave none, so that it was computed by the Federal Reserve's calendar."""
    state: RequestState
    reference: str
    """Of the decision in the outbox."""
    decided_by: str | None = None
    return_payment_id: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether a decision is needed."""
        return self.state == "open"


class ReturnRequests:
    """Keeps the return requests of counterparties: ``async with ReturnRequests(inbox, outbox, lead)``.

    Args:
        inbox: an open inbox, which keeps them.
        outbox: an open outbox, through which decisions go.
        lead: a client, to sweep the bank's list.
        router: the router whose ``return_request_due`` handlers are reminded; a worker of yours runs them.
        sweep_seconds: how often the bank's list is read.
        poll_seconds: how often to look for reminders that are due.
        clock: tells the time.
    """

    def __init__(
        self,
        inbox: Inbox,
        outbox: Outbox,
        lead: "LeadClient",
        *,
        router: WebhookRouter | None = None,
        sweep_seconds: float = SWEEP_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self.lead = lead
        self._router = router
        self._sweep_seconds = sweep_seconds
        self._poll_seconds = poll_seconds
        self._clock = clock or SystemClock()
        self._dialect: Dialect = "sqlite" if isinstance(inbox, SqliteInbox) else "postgres"
        self._swept_at: float | None = None
        self._warned: set[str] = set()

    # Following.

    def tracking_router(self) -> WebhookRouter:
        """Make the router that follows events; its consumer is ``CONSUMER``."""
        router = WebhookRouter(CONSUMER)

        @router.on("instant_payment.*", name="track", mandatory=True)
        async def track(event: Event, context: Context) -> None:
            assert isinstance(event, InstantPaymentEvent)  # noqa: S101 - the pattern takes no other
            await self._observe(event.payment, context.transaction)

        return router

    async def observe(self, payment: InstantPayment) -> None:
        """Keep what a payment says about its return requests, and a return about its original's."""
        async with self._inbox.begin() as connection:
            await self._observe(payment, connection)

    async def sweep(self) -> int:
        """Read the bank's list of open requests, and look again at those that are no longer on it.

        Returns:
            How many are open at the bank.

        Raises:
            LeadError: the bank or the inbox failed.
        """
        seen = set()
        pager = self.lead.instant_payments.list(
            direction="incoming", return_request_status=ReturnRequestStatus.RESPONSE_NEEDED, limit=PAGE
        )
        async for payment in pager:
            seen.add(payment.id)
            await self.observe(payment)
        for payment_id, *_ in await self._read(_UNFINISHED):
            if payment_id not in seen:
                await self._look_again(payment_id)
        self._swept_at = self._clock.now()
        return len(seen)

    async def _look_again(self, payment_id: str) -> InstantPayment | None:
        """Ask the bank for one payment; one that cannot be read costs only itself."""
        try:
            payment = await self.lead.instant_payments.retrieve(payment_id)
        except (NotFoundError, MalformedResponseError) as error:
            logger.error("%s: its return request cannot be followed: %s", payment_id, error)  # noqa: TRY400 - one line is enough
            return None
        await self.observe(payment)
        if any(_stored_state(request) == "expired" for request in payment.return_requests[-1:]):
            logger.error("%s: the return request was not decided, and the bank has rejected it", payment_id)
        return payment

    async def run_due(self) -> int:
        """Sweep if it is time, and give the reminders that are due.

        Returns:
            How many reminders were given.

        Raises:
            LeadError: the bank or the inbox failed.
        """
        now = self._clock.now()
        # A clock that was set back must not put the sweep off.
        if self._swept_at is None or not 0 <= now - self._swept_at < self._sweep_seconds:
            await self.sweep()
        return await self.remind()

    async def remind(self) -> int:
        """Give the reminders that are due, each once, and count them; what is open past its deadline is logged.

        Raises:
            InboxError: the inbox failed; what was not given yet is given the next time.
        """
        now = utc_datetime(self._clock.now())
        count = 0
        for row in await self._read(_OPEN):
            payment_id, requested, deadline, reminded = row
            given = {int(text) for text in reminded.split()}
            due = [
                before
                for before in self._befores()
                if before not in given and _time(deadline) - timedelta(seconds=before) <= now
            ]
            if not due:
                continue
            payment = await self._look_again(payment_id)
            if payment is None or not _is_open(payment, requested):
                continue
            for before in due:
                count += await self._give(payment, requested, deadline, before, now)
            changes = {"reminded": " ".join(map(str, sorted(given | set(due)))), **_key(payment_id, requested)}
            await self._write(_REMINDED, changes)
        return count

    def _befores(self) -> set[int]:
        """List how long before the deadline handlers want to be reminded, in seconds."""
        routes = () if self._router is None else self._router.routes()
        patterns = (pattern for route in routes for pattern in route.patterns)
        return {int(one.removeprefix(REMINDER_TYPE)) for one in patterns if one.startswith(REMINDER_TYPE)}

    async def _give(self, payment: InstantPayment, requested: int, deadline: int, before: int, now: datetime) -> bool:
        """Put a reminder into the inbox, unless it is there."""
        at = _time(deadline) - timedelta(seconds=before)
        data = {
            "id": f"event_reminder_{payment.id.removeprefix('instant_payment_')}_{requested}_{before}",
            "event": f"{REMINDER_TYPE}{before}",
            "created_at": at.isoformat(),
            "object": unstructure(payment),
        }
        body = encode(data)
        return await self._inbox.add(parse(body), body, received_at=now)

    # Deciding.

    async def accept(self, payment_id: str, *, by: str) -> KeptRequest:
        """Accept the open request: return the payment. The money is back when the state is ``returned``.

        Accepting again, by whomever, changes nothing.

        Args:
            payment_id: the payment whose return is requested.
            by: who decides, for the audit trail.

        Raises:
            ReturnRequestError: there is no open request, its deadline is over, or it was decided otherwise.
            LeadError: the bank, the inbox or the outbox failed.
        """
        request = await self._decidable(payment_id)
        try:
            await self._outbox.return_payment(
                payment_id, reference=request.reference, reason="honor_return_request", by=by
            )
        except ReferenceReusedError:
            raise ReturnRequestError("was rejected before", payment_id=payment_id) from None
        return await self._with_decision(request)

    async def reject(
        self,
        payment_id: str,
        *,
        reason: ReturnRequestRejectionReason | ReturnRequestRejectionReasonLiteral,
        by: str,
        additional_information: str | None = None,
    ) -> KeptRequest:
        """Reject the open request; rejecting again with the same reason changes nothing.

        Args:
            payment_id: the payment whose return is requested.
            reason: why.
            by: who decides, for the audit trail.
            additional_information: at most 140 characters; needed for the reason ``narrative``.

        Raises:
            ReturnRequestError: there is no open request, its deadline is over, or it was decided otherwise.
            InvalidRequestError: the reason is invalid.
            LeadError: the bank, the inbox or the outbox failed.
        """
        request = await self._decidable(payment_id)
        try:
            await self._outbox.reject_return_request(
                payment_id,
                reference=request.reference,
                reason=reason,
                additional_information=additional_information,
                by=by,
            )
        except ReferenceReusedError:
            raise ReturnRequestError("was decided before in another way", payment_id=payment_id) from None
        return await self._with_decision(request)

    async def _decidable(self, payment_id: str) -> KeptRequest:
        """Give the newest request of a payment, as the bank knows it now, if it can be decided."""
        await self.observe(await self.lead.instant_payments.retrieve(payment_id))
        request = await self.get(payment_id)
        if request is None:
            raise ReturnRequestError("has no return request", payment_id=payment_id)
        if request.state == "expired":
            raise ReturnRequestError(
                f"was rejected by the bank, since the deadline was {request.deadline.isoformat()}",
                payment_id=payment_id,
            )
        if await self._outbox.get(request.reference) is None:
            if request.state != "open":
                raise ReturnRequestError(f"is {request.state}, and not by this outbox", payment_id=payment_id)
            if utc_datetime(self._clock.now()) >= request.deadline:
                raise ReturnRequestError(
                    f"can no longer be decided: the deadline was {request.deadline.isoformat()}", payment_id=payment_id
                )
        return request

    async def _with_decision(self, request: KeptRequest) -> KeptRequest:
        return await self.get(request.payment_id) or request

    # Reading.

    async def get(self, payment_id: str) -> KeptRequest | None:
        """Give the newest request of a payment."""
        rows = await self._read(
            f"{_SELECT} WHERE payment_id = :payment_id ORDER BY requested_at DESC", payment_id=payment_id
        )
        return await self._request(rows[0]) if rows else None

    async def list(self, *, due: timedelta | None = None, closed: bool = False) -> AsyncIterator[KeptRequest]:
        """Iterate over the requests, the nearest deadline first.

        Args:
            due: only those whose deadline is at most so far away, or over.
            closed: whether to include those that need no decision.
        """
        latest = None if due is None else utc_datetime(self._clock.now()) + due
        where = "" if closed else " WHERE state = 'open'"
        for row in await self._read(f"{_SELECT}{where} ORDER BY deadline, payment_id, requested_at"):
            request = await self._request(row)
            if (closed or request.is_open) and (latest is None or request.deadline <= latest):
                yield request

    async def _request(self, row: tuple[Any, ...]) -> KeptRequest:
        payment_id, requested, account, amount, reason, deadline, source, state, return_id, return_state = row
        reference, decision = await self._decision(payment_id, requested)
        decided_by = None
        if decision is not None:
            decided_by = next((one.by for one in await self._outbox.history(reference) if one.by is not None), None)
            return_id = return_id or (decision.payment_id if decision.operation == "return" else None)
        return KeptRequest(
            payment_id=payment_id,
            account_number_id=account,
            amount=amount,
            reason=reason,
            requested_at=_time(requested),
            deadline=_time(deadline),
            deadline_is_computed=source == "computed",
            state=_state(state, return_state, decision),
            reference=reference,
            decided_by=decided_by,
            return_payment_id=return_id,
        )

    async def _decision(self, payment_id: str, requested: int) -> tuple[str, Instruction | None]:
        """Find the decision in the outbox; after one that the bank refused, another one can be given."""
        reference = base = f"return-request:{payment_id}:{requested}"
        number = 1
        while True:
            decision = await self._outbox.get(reference)
            if decision is None or decision.outcome not in ("refused", "withdrawn"):
                return reference, decision
            number += 1
            reference = f"{base}:{number}"

    # In the background.

    async def __aenter__(self) -> Self:
        """Follow events, sweep and remind while the context lasts; failures are logged and tried again."""
        async with AsyncExitStack() as stack:
            worker = Worker(self._inbox, self.tracking_router(), consumer=CONSUMER, body_retention_days=None)
            await stack.enter_async_context(worker)
            await stack.enter_async_context(self._polling())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop."""
        await self._stack.aclose()

    @asynccontextmanager
    async def _polling(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._poll())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _poll(self) -> None:
        while True:
            try:
                await self.run_due()
            except LeadError as error:
                logger.error("return requests could not be followed: %s", error)  # noqa: TRY400 - one line is enough
            except Exception as error:  # noqa: BLE001 - the next time may work
                logger.error("return requests could not be followed: %s", traceback_without_messages(error))  # noqa: TRY400 - its message may hold anything
            await self._clock.sleep(self._poll_seconds)

    # The database.

    async def _observe(self, payment: InstantPayment, connection: Any) -> None:
        if payment.direction == Direction.OUTGOING:
            if payment.is_return and payment.original_payment_id is not None:
                given = {"payment_id": payment.original_payment_id, "return_id": payment.id, "state": _arrival(payment)}
                await execute(connection, _RETURN, given, dialect=self._dialect)
            return
        for request in payment.return_requests:
            self._check_deadline(payment, request)
            await execute(connection, _UPSERT, _row(payment, request), dialect=self._dialect)

    def _check_deadline(self, payment: InstantPayment, request: ReturnRequest) -> None:
        """Warn once if the bank's deadline is not that of the Federal Reserve's calendar."""
        computed = return_request_deadline(request.created_at)
        if request.deadline != computed and payment.id not in self._warned:
            self._warned.add(payment.id)
            logger.warning(
                "%s: the bank's deadline is %s, and by the Federal Reserve's calendar it is %s",
                payment.id,
                request.deadline.isoformat(),
                computed.isoformat(),
            )

    async def _read(self, sql: str, **parameters: Any) -> Rows:
        async with self._inbox.begin() as connection:
            return await execute(connection, sql, parameters, dialect=self._dialect)

    async def _write(self, sql: str, parameters: Mapping[str, Any]) -> None:
        async with self._inbox.begin() as connection:
            await execute(connection, sql, parameters, dialect=self._dialect)


_SELECT: Final = """
SELECT payment_id, requested_at, account_number_id, amount, reason, deadline, deadline_source, state, return_payment_id,
    return_state FROM leadpay_return_requests"""

# Requests that are open, and returns that are on their way.
_UNFINISHED: Final = """
SELECT payment_id FROM leadpay_return_requests WHERE state = 'open'
UNION SELECT return_payment_id FROM leadpay_return_requests WHERE return_state = 'pending' ORDER BY 1"""

_OPEN: Final = """
SELECT payment_id, requested_at, deadline, reminded FROM leadpay_return_requests WHERE state = 'open'
ORDER BY deadline, payment_id"""

# An older version of the payment changes nothing.
_UPSERT: Final = """
INSERT INTO leadpay_return_requests (payment_id, requested_at, account_number_id, amount, reason, deadline,
    deadline_source, state, version, return_payment_id, return_state)
VALUES (:payment_id, :requested_at, :account_number_id, :amount, :reason, :deadline, :source, :state, :version,
    :return_id, :return_state)
ON CONFLICT (payment_id, requested_at) DO UPDATE SET
    deadline = excluded.deadline, deadline_source = excluded.deadline_source, state = excluded.state,
    version = excluded.version,
    return_payment_id = coalesce(leadpay_return_requests.return_payment_id, excluded.return_payment_id),
    return_state = coalesce(leadpay_return_requests.return_state, excluded.return_state)
WHERE leadpay_return_requests.version <= excluded.version"""

# What has arrived has not un-arrived: an older copy of the return may come later.
_RETURN: Final = """
UPDATE leadpay_return_requests SET return_payment_id = :return_id, return_state = :state
WHERE payment_id = :payment_id AND state = 'accepted' AND coalesce(return_state, '') <> 'arrived'"""

_REMINDED: Final = """
UPDATE leadpay_return_requests SET reminded = :reminded
WHERE payment_id = :payment_id AND requested_at = :requested_at"""


def _row(payment: InstantPayment, request: ReturnRequest) -> dict[str, Any]:
    """Describe a request, with the bank's deadline, or else with our own calendar's."""
    state = _stored_state(request)
    return_id = payment.return_payment_ids[-1] if state == "accepted" and payment.return_payment_ids else None
    return {
        **_key(payment.id, _micro(request.created_at)),
        "account_number_id": payment.account_number_id,
        "amount": payment.amount,
        "reason": str(request.reason),
        "deadline": _micro(request.deadline),
        "source": "computed" if request.deadline_is_computed else "bank",
        "state": state,
        "version": _micro(payment.updated_at),
        "return_id": return_id,
        "return_state": None if return_id is None else "pending",
    }


def _stored_state(request: ReturnRequest) -> str:
    """Name a request's state; a word that we don't know is open until a resolution comes."""
    if request.is_active:
        return "open"
    if request.status == ReturnRequestStatus.ACCEPTED:
        return "accepted"
    by_lead = request.resolution is not None and request.resolution.resolved_by == ResolvedBy.LEAD
    return "expired" if by_lead else "rejected"


def _state(stored: str, return_state: str | None, decision: Instruction | None) -> RequestState:
    """Combine what the bank says with the decision in the outbox."""
    arrived = return_state == "arrived" or (decision is not None and decision.outcome == "arrived")
    failed = return_state == "rejected" or (
        decision is not None and decision.operation == "return" and decision.outcome in ("rejected", "returned")
    )
    if stored == "accepted":
        return "returned" if arrived else "return_failed" if failed else "returning"
    if stored == "open":
        return "open" if decision is None else "responding"
    return "expired" if stored == "expired" else "rejected"


def _arrival(payment: InstantPayment) -> str:
    if payment.has_arrived:
        return "arrived"
    failed = payment.status in (Status.REJECTED, Status.CANCELED) or (
        payment.counterparty_status == CounterpartyStatus.REJECTED
    )
    return "rejected" if failed else "pending"


def _is_open(payment: InstantPayment, requested: int) -> bool:
    return any(
        _micro(request.created_at) == requested and _stored_state(request) == "open"
        for request in payment.return_requests
    )


def _key(payment_id: str, requested: int) -> dict[str, Any]:
    return {"payment_id": payment_id, "requested_at": requested}


def _micro(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def _time(micro: int) -> datetime:
    return _EPOCH + micro * _MICROSECOND


def calendar(requests: Iterator[KeptRequest] | list[KeptRequest]) -> str:
    """Write deadlines as an iCalendar (RFC 5545), for the calendar of a team."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//leadpay//return requests//EN"]
    for one in requests:
        at = f"{one.deadline.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        lines += [
            "BEGIN:VEVENT",
            f"UID:{one.reference}@leadpay",
            f"DTSTAMP:{one.requested_at.astimezone(UTC):%Y%m%dT%H%M%SZ}",
            f"DTSTART:{at}",
            f"DTEND:{at}",
            f"SUMMARY:Return request due ({one.state})",
            f"DESCRIPTION:{one.payment_id} {one.amount} cents",
            "END:VEVENT",
        ]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])

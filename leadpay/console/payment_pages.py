"""The payments that an inbox and an outbox know: a list, and each as a timeline."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final, get_args

from aiohttp import web

from leadpay.clock import utc_datetime
from leadpay.console import search
from leadpay.console.app import Action, ActionError, Choice, Console, Pages, Section, root_of
from leadpay.console.events_view import event_entries, log_entries, payment_of
from leadpay.console.guard import Form, RefusedError, visit
from leadpay.console.render import money, path_of, query_url
from leadpay.console.timeline import countdown, counterparty, entries_of, in_order
from leadpay.converter import unstructure
from leadpay.enums import Direction, ReturnReasonLiteral, ReturnRequestRejectionReasonLiteral, Status
from leadpay.errors import InvalidRequestError, LeadError
from leadpay.inbox import Note
from leadpay.masking import fields
from leadpay.models import InstantPayment

if TYPE_CHECKING:
    from leadpay.client import LeadClient
    from leadpay.inbox import Inbox, StoredEvent
    from leadpay.outbox import Instruction, Outbox

PAGE: Final = 50
"""Rows of a list."""

SCAN: Final = 1_000
"""Events that one page of a filtered list looks at: about 0.1 seconds. The next page goes on after them."""

MAX_EVENTS: Final = 200
"""Events, and instructions, of one payment that are shown."""

BANK_TIMEOUT: Final = 5.0
"""Seconds that the bank has to show a payment, while a person waits."""


class PaymentPages(Pages):
    """The pages.

    Args:
        console: what all pages share.
        inbox: the events about payments.
        outbox: the instructions that payments were sent with.
        lead: a client that asks the bank.
    """

    def __init__(
        self, console: Console, inbox: "Inbox | None", outbox: "Outbox | None", lead: "LeadClient | None"
    ) -> None:
        self._console = console
        self._inbox = inbox
        self._outbox = outbox
        self._lead = lead
        self.sections = (Section("/payments", "Payments", "payments"),)

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        return [
            web.get("/payments", self._payments),
            web.get("/payments/{id}", self._payment),
            web.post("/payments/{id}", self._payment),
            web.get("/payments/{id}/respond", self._respond),
            web.post("/payments/{id}/respond", self._respond),
        ]

    # The list.

    async def _payments(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        direction = next((one for one in Direction if one == query.get("direction")), None)
        status = next((one for one in Status if one == query.get("status")), None)
        sought = search.read(query.get("q", ""))
        before = int(query["before"]) if query.get("before", "").isdecimal() else None

        def matches(payment: InstantPayment) -> bool:
            return (
                (direction is None or payment.direction == direction)
                and (status is None or payment.status == status)
                and (sought is None or sought.matches(payment))
            )

        found = [] if sought is None or before is not None else await self._named(request, query["q"].strip())
        rows: list[InstantPayment] = []
        seen: set[str] = set()
        last, looked_at = before, 0
        async for event in self._newest(before):
            looked_at += 1
            last = event.number
            payment = None if event.ordering_key in seen else payment_of(event)
            seen.add(event.ordering_key)
            # On the first page, the first event of a payment that is met is its newest.
            if payment is not None and matches(payment) and (before is None or await self._is_newest(event)):
                rows.append(payment)
            if len(rows) == PAGE or looked_at == SCAN:
                break
        else:
            last = None
        return await self._console.page(
            request,
            "payments.html",
            payments=rows,
            found=found,
            counterparty=counterparty,
            direction=direction or "",
            directions=list(Direction),
            chosen_status=status or "",
            statuses=list(Status),
            looked_at=looked_at,
            older=query_url(request.path, {**query, "before": last}) if last is not None else "",
        )

    async def _newest(self, before: int | None) -> "AsyncIterator[StoredEvent]":
        if self._inbox is not None:
            async for event in self._inbox.events(before=before, limit=SCAN):
                yield event

    async def _is_newest(self, event: "StoredEvent") -> bool:
        """Whether no later event is about the same payment, so that each payment has one row."""
        assert self._inbox is not None  # noqa: S101 - the event is from there
        newest = [one.number async for one in self._inbox.events(ordering_key=event.ordering_key, limit=1)]
        return newest == [event.number]

    async def _named(self, request: web.Request, text: str) -> list[tuple[str, str]]:
        """What has exactly this ID or reference: a title and a URL each."""
        root, found = root_of(request), []
        if self._inbox is not None:
            if await self._inbox.get(text) is not None:
                found.append((f"Event {text}", root + path_of("events", text)))
            if [event async for event in self._inbox.events(ordering_key=text, limit=1) if event.event_id != text]:
                found.append((f"Payment {text}", root + path_of("payments", text)))
        if self._outbox is not None:
            sought = search.read(text)
            instructions = [await self._outbox.get(text)]
            if sought is not None and sought.amount is not None:
                instructions += [one async for one in self._outbox.instructions(amount=sought.amount, limit=10)]
            found += [
                (f"Instruction {one.reference}", root + path_of("instructions", one.reference))
                for one in instructions
                if one is not None
            ]
        return found

    # One payment.

    async def _payment(self, request: web.Request) -> web.StreamResponse:
        payment_id = request.match_info["id"]
        events = await self._events(payment_id)
        instructions = await self._instructions(payment_id)
        asked, problem = await self._ask(payment_id) if request.query.get("ask") == "bank" else (None, "")
        payment = asked or self._latest(events, instructions)
        if payment is None and not events and not instructions:
            raise RefusedError(404, "Nothing is known of a payment with this ID.")
        root = root_of(request)
        entries = event_entries(events, root)
        for instruction in instructions:
            assert self._outbox is not None  # noqa: S101 - the instruction is from there
            entries += log_entries(instruction, await self._outbox.history(instruction.reference), root)
        found = [] if payment is None else [field for field in fields(unstructure(payment)) if field.text]
        revealed = self._console.reveal(found, payment_id)
        return await self._console.page(
            request,
            "payment.html",
            payment_id=payment_id,
            payment=payment,
            fields=found,
            revealed=revealed,
            countdown=None if payment is None else countdown(payment, self._console.clock.now()),
            entries=in_order([*([] if payment is None else entries_of(payment)), *entries]),
            instructions=instructions,
            problem=problem,
            was_asked=asked is not None,
            can_ask=self._lead is not None,
            can_respond=self._lead is not None or self._outbox is not None,
            **({"is_static": True} if revealed else {}),
        )

    async def _events(self, payment_id: str) -> "list[StoredEvent]":
        if self._inbox is None:
            return []
        found = [event async for event in self._inbox.events(ordering_key=payment_id, limit=MAX_EVENTS)]
        return found[::-1]

    async def _instructions(self, payment_id: str) -> "list[Instruction]":
        if self._outbox is None:
            return []
        made = [one async for one in self._outbox.instructions(payment_id=payment_id, limit=MAX_EVENTS)]
        about = [one async for one in self._outbox.instructions(target_payment_id=payment_id, limit=MAX_EVENTS)]
        return list({one.number: one for one in (*made, *about)}.values())

    def _latest(self, events: "list[StoredEvent]", instructions: "list[Instruction]") -> InstantPayment | None:
        known = [payment_of(event) for event in events]
        known += [one.payment for one in instructions if one.operation == "send"]
        return max((one for one in known if one is not None), key=lambda one: one.updated_at, default=None)

    async def _ask(self, payment_id: str) -> tuple[InstantPayment | None, str]:
        """Ask the bank for the payment; give it, or what went wrong."""
        if self._lead is None:
            return None, ""
        try:
            async with asyncio.timeout(BANK_TIMEOUT):
                return await self._lead.instant_payments.retrieve(payment_id), ""
        except TimeoutError:
            return None, f"The bank did not respond within {BANK_TIMEOUT:g} seconds."
        except LeadError as error:
            return None, f"The bank did not show it: {type(error).__name__}."

    # A return request.

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        """Return the payment, or reject the request."""
        payment_id = request.match_info["id"]
        events, inbox = await self._events(payment_id), self._inbox
        payment = self._latest(events, [])
        if (
            inbox is None
            or payment is None
            or payment.direction != Direction.INCOMING
            or payment.active_return_request is None
        ):
            raise RefusedError(404, "This payment has no return request that is open.")
        if self._lead is None and self._outbox is None:
            raise RefusedError(404, "The console has neither an outbox nor a client.")
        returns = request.query.get("with") == "return"
        amount = money(payment.amount, payment.currency_code)
        reasons = get_args(ReturnReasonLiteral if returns else ReturnRequestRejectionReasonLiteral)
        how = "An instruction is queued in the outbox." if self._outbox is not None else "The bank is told at once."

        async def do(reason: str, form: Form) -> str:
            await self._tell(payment, form, returns=returns)
            at = utc_datetime(self._console.clock.now())
            note = Note(at=at, action=f"decided to {verb}", by=visit().user.name, reason=reason)
            await inbox.note(events[-1].number, note)
            return "responded"

        verb = "return" if returns else "reject the request"
        action = Action(
            title="Return this payment" if returns else "Reject the return request",
            will=(
                f"{amount} go back to the counterparty." if returns else f"{amount} stay on the account.",
                how,
                "It cannot be undone.",
            ),
            button="Return it" if returns else "Reject the request",
            back=path_of("payments", payment_id),
            log=f"decided to {verb}: payment {payment_id}",
            do=do,
            choices=(
                Choice("code", "Reason that the bank is given", reasons),
                Choice("details", "Details for the counterparty, if the reason needs them"),
            ),
            is_dangerous=returns,
        )
        return await self._console.confirm(request, action)

    async def _tell(self, payment: InstantPayment, form: Form, *, returns: bool) -> None:
        # One request has one reference, so that two people who press the button at once make one instruction.
        reference = f"console:{payment.id}:{len(payment.return_requests)}"
        code: Any = form.get("code", "")
        details = form.get("details", "").strip() or None
        try:
            if self._outbox is not None:
                queue = self._outbox.return_payment if returns else self._outbox.reject_return_request
                await queue(
                    payment.id, reference=reference, reason=code, additional_information=details, by=visit().user.name
                )
                return
            assert self._lead is not None  # noqa: S101 - the page has been refused without it
            if returns:
                await self._lead.instant_payments.return_payment(
                    payment.id, reason=code, additional_information=details, idempotency_key=reference
                )
            else:
                await self._lead.instant_payments.reject_return_request(
                    payment.id, reason=code, additional_information=details
                )
        except InvalidRequestError as error:
            raise ActionError(str(error)) from None
        except LeadError as error:
            raise ActionError(f"It was not done: {type(error).__name__}.") from None

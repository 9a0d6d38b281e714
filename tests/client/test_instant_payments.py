"""The calls about payments: what is read after an attempt without a response, and what never leaves."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from leadpay.client import LeadClient
from leadpay.enums import ReturnRequestReason
from leadpay.errors import (
    ConflictError,
    InvalidRequestError,
    LeadError,
    MalformedResponseError,
    OutcomeUnknownError,
    UnprocessableEntityError,
)
from leadpay.models import Agent, Party
from tests.support.scripted_transport import NO_ANSWER, NOW, Bank, error, payment, return_request

CANCEL = "POST /v1/instant_payments/instant_payment_1/cancel"
READ = "GET /v1/instant_payments/instant_payment_1"
ID = "instant_payment_1"
CANARY = "Canary\udcff7"


@pytest.mark.asyncio
async def test_cancel_after_silence_reads_the_payment() -> None:
    """Canceled is done; anything else is sent again."""
    bank = Bank(NO_ANSWER, payment(status="canceled"))
    assert (await bank.payments.cancel("instant_payment_1")).status == "canceled"
    assert bank.operations == ["cancel", "retrieve"]
    bank = Bank(NO_ANSWER, payment(), payment(status="canceled"))
    assert (await bank.payments.cancel("instant_payment_1", idempotency_key="k")).status == "canceled"
    assert bank.operations == ["cancel", "retrieve", "cancel"]
    bank = Bank(payment(status="canceled"))
    assert (await bank.payments.cancel("instant_payment_1")).status == "canceled"


@pytest.mark.asyncio
async def test_cancel_s_refusal_counts_unless_the_payment_is_canceled() -> None:
    """The refusal of a repetition is checked against the payment."""
    with pytest.raises(UnprocessableEntityError):
        await Bank(error(422)).payments.cancel("instant_payment_1")
    bank = Bank(NO_ANSWER, payment(), error(422), payment(status="canceled"))
    assert (await bank.payments.cancel("instant_payment_1")).status == "canceled"
    bank = Bank(NO_ANSWER, payment(), error(422), payment(status="posted"))
    with pytest.raises(UnprocessableEntityError) as caught:
        await bank.payments.cancel("instant_payment_1")
    assert caught.value.idempotency_key == "key-0"


@pytest.mark.asyncio
async def test_cancel_that_cannot_be_verified_is_an_unknown_outcome() -> None:
    """The payment could not be read, or never says canceled, or the connection never comes back."""
    with pytest.raises(OutcomeUnknownError):
        await Bank(NO_ANSWER).payments.cancel("instant_payment_1")
    script = [NO_ANSWER, payment()] * 5
    with pytest.raises(OutcomeUnknownError) as caught:
        await Bank(*script).payments.cancel("instant_payment_1")
    assert caught.value.attempts == 5


@pytest.mark.asyncio
async def test_request_return_conflicts_unless_the_active_request_is_ours() -> None:
    """409 is final at first sight; after silence the payment is read."""
    args: dict[str, Any] = {"payment_id": "instant_payment_1", "reason": "fraud_suspected"}
    with pytest.raises(ConflictError):
        await Bank(error(409)).payments.request_return(**args)
    bank = Bank(NO_ANSWER, error(409), payment(return_requests=[return_request("pending")]))
    assert (await bank.payments.request_return(**args)).active_return_request is not None
    assert bank.operations == ["request_return", "request_return", "retrieve"]
    # No active request although the bank speaks of a conflict: our own key is in progress, so ask again.
    bank = Bank(NO_ANSWER, error(409), payment(), payment(return_requests=[return_request("pending")]))
    assert (await bank.payments.request_return(**args)).active_return_request is not None


@pytest.mark.asyncio
@pytest.mark.parametrize("ours", ["duplication", "duplicate", ReturnRequestReason("duplicate")])
@pytest.mark.parametrize("theirs", ["duplication", "duplicate"])
async def test_request_return_knows_its_reason_in_either_spelling(ours: Any, theirs: str) -> None:
    """The bank may show the older one: it is the same word, so the active request is ours."""
    active = return_request("pending") | {"reason": theirs}
    bank = Bank(NO_ANSWER, error(409), payment(return_requests=[active]))
    payment_read = await bank.payments.request_return("instant_payment_1", reason=ours)
    assert payment_read.return_requests[0].reason.as_sent == theirs


@pytest.mark.asyncio
@pytest.mark.parametrize("ours", ["customer_no_response", "no_answer_from_customer"])
async def test_reject_return_request_knows_its_reason_in_either_spelling(ours: Any) -> None:
    """So a rejection whose response was lost is found."""
    rejected = return_request("rejected", "client", rejection_reason="no_answer_from_customer")
    bank = Bank(NO_ANSWER, payment(return_requests=[rejected]))
    await bank.payments.reject_return_request("instant_payment_1", reason=ours)
    assert bank.operations == ["reject_return_request", "retrieve"]


@pytest.mark.asyncio
async def test_reject_return_request_after_silence_looks_for_our_rejection() -> None:
    """Ours is the latest one, by the client, with our reason."""
    args: dict[str, Any] = {"payment_id": "instant_payment_1", "reason": "customer_requested"}
    ours = payment(return_requests=[return_request("rejected", "client")])
    assert (await Bank(NO_ANSWER, ours).payments.reject_return_request(**args)).active_return_request is None
    for other in (
        [],
        [return_request("rejected", "client", at=NOW - 9), return_request("rejected", "lead")],
        [return_request("rejected", "client", rejection_reason="account_closed")],
        [return_request("rejected", "lead")],
        [return_request("rejected")],
        [return_request("accepted", "client")],
        [return_request("rejected", "client"), return_request("response_needed")],
    ):
        bank = Bank(NO_ANSWER, payment(return_requests=other), ours)
        await bank.payments.reject_return_request(**args, idempotency_key="k")
        assert bank.operations == ["reject_return_request", "retrieve", "reject_return_request"]


@pytest.mark.asyncio
async def test_a_return_is_a_keyed_write() -> None:
    """It returns the new payment."""
    related = {"original_payment_id": "instant_payment_1"}
    bank = Bank(NO_ANSWER, payment(id="instant_payment_2", related_objects=related))
    returned = await bank.payments.return_payment("instant_payment_1", reason="duplication", idempotency_key="mine")
    assert (returned.id, bank.sent_keys) == ("instant_payment_2", {"mine"})


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("script", "wanted", "lines"),
    [
        (["drop", "canceled"], None, [CANCEL, READ]),
        ([(500, {}), "canceled"], None, [CANCEL, READ]),
        (["drop", "created", "canceled"], None, [CANCEL, READ, CANCEL]),
        (["drop", "created", (409, {}), "canceled"], None, [CANCEL, READ, CANCEL, READ]),
        (["drop", "posted", (422, {}), "posted"], UnprocessableEntityError, [CANCEL, READ, CANCEL, READ]),
        (["drop", "created", (422, {}), "canceled"], None, [CANCEL, READ, CANCEL, READ]),
        (["drop", "created", (403, {}), "created"], OutcomeUnknownError, [CANCEL, READ, CANCEL, READ]),
        (
            ["drop", "created", (401, {}), (401, {}), "created"],
            OutcomeUnknownError,
            [CANCEL, READ, *[CANCEL] * 2, READ],
        ),
        (["drop", "created", (401, {}), "canceled"], None, [CANCEL, READ, CANCEL, CANCEL]),
        (["drop", (404, {})], OutcomeUnknownError, [CANCEL, READ]),
        (["drop", (500, {})], OutcomeUnknownError, [CANCEL, *[READ] * 5]),
        (["drop and leave"], OutcomeUnknownError, [CANCEL]),
        ([(422, {})], UnprocessableEntityError, [CANCEL]),
        ([(429, {}), "canceled"], None, [CANCEL, CANCEL]),
    ],
)
async def test_cancel_is_verified_by_reading_the_payment(
    script: list[Any], wanted: type[LeadError] | None, lines: list[str], new_bank: Any, payment: Any
) -> None:
    """After silence, what the payment says counts, and a refusal only if the payment agrees."""
    words = ["created", "posted", "canceled"]
    bank = await new_bank(*((200, payment(status=line)) if line in words else line for line in script))
    async with bank.client(token=renewing) as lead:
        if wanted is None:
            assert (await lead.instant_payments.cancel("instant_payment_1")).status == "canceled"
        else:
            with pytest.raises(wanted) as caught:
                await lead.instant_payments.cancel("instant_payment_1")
            assert caught.value.idempotency_key == "key-1"
    assert bank.lines == lines
    assert bank.keys == {"key-1"}


async def renewing(rejected: str | None) -> str:
    """A provider that always has another token."""
    return f"{rejected or 'token'}x"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("call", "fields"),
    [
        (
            lambda lead: lead.instant_payments.send(
                account_number_id=CANARY,
                amount=1.5,
                creditor=Party(name=CANARY, account_number="1" * 18),
                creditor_agent=Agent(routing_number=CANARY),
                description=CANARY,
                currency_code=CANARY,
                idempotency_key="mine",
            ),
            {
                *("account_number_id", "amount", "currency_code", "creditor.name", "creditor.account_number"),
                *("creditor_agent.routing_number", "description"),
            },
        ),
        (lambda lead: lead.instant_payments.cancel(CANARY, idempotency_key="mine"), {"payment_id"}),
        (
            lambda lead: lead.instant_payments.return_payment(ID, reason="narrative", idempotency_key="mine"),
            {"additional_information"},
        ),
        (lambda lead: lead.instant_payments.request_return(ID, reason=CANARY, idempotency_key="mine"), {"reason"}),
        (
            lambda lead: lead.instant_payments.reject_return_request(CANARY, reason=CANARY, idempotency_key="mine"),
            {"payment_id", "reason"},
        ),
        (lambda lead: lead.instant_payments.check_availability(CANARY), {"routing_number"}),
        (lambda lead: lead.instant_payments.retrieve(CANARY), {"payment_id"}),
        (lambda lead: lead.events.retrieve(CANARY), {"event_id"}),
        (
            lambda lead: lead.simulate.incoming(
                account_number_id=CANARY,
                amount=True,
                debtor=CANARY,
                debtor_agent=CANARY,
                end_to_end_id=CANARY,
                idempotency_key="mine",
            ),
            {"account_number_id", "amount", "debtor", "debtor_agent", "end_to_end_id"},
        ),
        (
            lambda lead: lead.simulate.incoming_return(
                CANARY, amount=-1, reason=CANARY, additional_information=CANARY, idempotency_key="mine"
            ),
            {"payment_id", "amount", "reason", "additional_information"},
        ),
        (
            lambda lead: lead.simulate.incoming_return_request(ID, reason=CANARY, idempotency_key="mine"),
            {"reason"},
        ),
        (
            lambda lead: lead.simulate.incoming_return_request_rejection(ID, reason=CANARY, idempotency_key="mine"),
            {"reason"},
        ),
        (
            lambda lead: lead.simulate.incoming_return_request_acceptance(CANARY, idempotency_key="mine"),
            {"payment_id"},
        ),
    ],
)
async def test_an_invalid_request_never_leaves(
    call: Callable[[LeadClient], Awaitable[Any]], fields: set[str], new_bank: Any
) -> None:
    """Not even for a token; the error names the fields, no values, and the key of a write."""
    bank = await new_bank((500, {}))
    async with bank.client(client_id="me", client_secret="s3cret") as lead:
        with pytest.raises(InvalidRequestError) as caught:
            await call(lead)
    assert bank.requests == []
    assert {problem.parameter for problem in caught.value.problems} == fields
    assert "Canary" not in f"{caught.value!s}{caught.value!r}"
    writes = fields not in ({"routing_number"}, {"event_id"}) and "retrieve" not in str(caught.value)
    assert caught.value.idempotency_key == ("mine" if writes else None)


@pytest.mark.asyncio
@pytest.mark.parametrize("bad", ["", " ", "a\r\nX: y", "k" * 256, "ключ", 7, b"k"])
async def test_a_key_that_fits_no_header_never_leaves(bad: Any, new_bank: Any, send: Any) -> None:
    """It could not come back as the same key."""
    bank = await new_bank((500, {}))
    async with bank.client() as lead:
        with pytest.raises(InvalidRequestError, match="idempotency_key: must be"):
            await send(lead, bad)
    assert bank.requests == []


@pytest.mark.asyncio
async def test_a_wrong_filter_never_leaves(new_bank: Any) -> None:
    """Refused when the list is made, by name."""
    bank = await new_bank((500, {}))
    async with bank.client() as lead:
        with pytest.raises(InvalidRequestError) as caught:
            lead.instant_payments.list(
                created_after=datetime(2027, 1, 1),  # noqa: DTZ001 - the fault
                created_before=datetime.max.replace(tzinfo=UTC).astimezone(UTC),
                limit=0,
                status=CANARY,
                starting_after=ID,
                ending_before=ID,
            )
        with pytest.raises(InvalidRequestError):
            lead.events.list(types=["instant_payment.unheard_of"])
    named = {problem.parameter for problem in caught.value.problems}
    assert named == {"created_after", "limit", "status", "ending_before"}
    assert bank.requests == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        (["drop", (200, {})], MalformedResponseError),
        (["drop", (409, {}), "ours"], None),
        (["drop", *[(409, {}), "other"] * 4], OutcomeUnknownError),
        (["drop", (409, {}), (500, {})], OutcomeUnknownError),
        ([(409, {})], ConflictError),
        (["drop", (422, {})], UnprocessableEntityError),
    ],
)
async def test_request_return_after_silence_recognizes_its_own_request(
    script: list[Any], wanted: type[LeadError] | None, new_bank: Any, payment: Any
) -> None:
    """A conflict after silence may be with ourselves: the active request's reason tells."""

    def asked(reason: str) -> tuple[int, Any]:
        one = {"status": "pending", "reason": reason, "created_at": "2027-01-15T08:00:00Z"}
        return 200, payment(return_requests=[one])

    known = {"ours": asked("duplication"), "other": asked("wrong_amount")}
    bank = await new_bank(*(known[line] if isinstance(line, str) and line in known else line for line in script))
    async with bank.client() as lead:
        call = lead.instant_payments.request_return(ID, reason="duplication", idempotency_key="mine")
        if wanted is None:
            assert (await call).active_return_request is not None
        else:
            with pytest.raises(wanted) as caught:
                await call
            assert caught.value.idempotency_key == "mine"
    assert bank.keys == {"mine"}

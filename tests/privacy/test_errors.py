"""Every error of a call, from a bank that quotes the whole request in its responses."""

import asyncio
from typing import Any

import pytest

from leadpay import errors
from leadpay.client import LeadClient
from leadpay.client.retry import RetryPolicy
from leadpay.errors import LeadError
from leadpay.models import Party
from tests.privacy.leaks import (
    ACCOUNT,
    CANARIES,
    CLIENT_SECRET,
    DESCRIPTION,
    MESSAGE,
    NAME,
    PAYMENT,
    TOKEN,
    LeakDetector,
    find_canaries,
)

EVERYTHING = ", ".join(CANARIES.values())
PROBLEM = {
    "code": "invalid",
    **dict.fromkeys(("type", "title", "detail", "instance"), EVERYTHING),
    "invalid_parameters": [{"parameter": "creditor.name", "reason": EVERYTHING}],
}
STATUSES = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    422: errors.UnprocessableEntityError,
    429: errors.RateLimitError,
    451: errors.APIError,
}
MALFORMED = [
    {"id": EVERYTHING, "amount": EVERYTHING, "creditor": [EVERYTHING], EVERYTHING: EVERYTHING},
    [EVERYTHING],
    EVERYTHING,
    EVERYTHING.encode(),
    b"\xff" + EVERYTHING.encode(),
]


async def fail(expected: type[LeadError], leaks: LeakDetector, lead: LeadClient, call: str = "send") -> Any:
    """Make a call that raises exactly this class."""
    async with lead:
        calls = {
            "send": lambda: lead.instant_payments.send(**PAYMENT),
            "retrieve": lambda: lead.instant_payments.retrieve("instant_payment_1"),
        }
        with pytest.raises(expected) as found:
            await calls[call]()
    assert type(found.value) is expected
    leaks.record(error=found.value, lead=lead)
    return found.value


@pytest.mark.asyncio
@pytest.mark.parametrize("status", STATUSES)
async def test_quotes_of_the_bank_are_only_in_the_details_of_an_error(
    status: int, new_bank: Any, leaks: LeakDetector
) -> None:
    """``detail``, ``title`` and the like have them; the message and the logs do not."""
    bank = await new_bank((status, PROBLEM))
    error = await fail(STATUSES[status], leaks, bank.client(token=TOKEN, observer=leaks.observe))
    for text in (error.title, error.detail, error.instance, error.invalid_parameters[0].reason):
        assert find_canaries(text) == set(CANARIES)


@pytest.mark.asyncio
@pytest.mark.parametrize("response", MALFORMED)
async def test_a_malformed_response_is_only_in_the_body_of_the_error(
    response: Any, new_bank: Any, leaks: LeakDetector
) -> None:
    """The message has the paths of known fields and the problems."""
    bank = await new_bank((200, response))
    error = await fail(errors.MalformedResponseError, leaks, bank.client(token=TOKEN, observer=leaks.observe))
    assert find_canaries(error.body.decode("latin-1")) == set(CANARIES)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("line", "call", "expected"),
    [
        ("drop", "send", errors.OutcomeUnknownError),
        ((409, PROBLEM), "send", errors.OutcomeUnknownError),
        ((502, f"<html>{EVERYTHING}</html>".encode()), "send", errors.OutcomeUnknownError),
        (f"HTTP/1.1 200 OK\r\n{EVERYTHING}\r\n\r\n".encode(), "send", errors.OutcomeUnknownError),
        ((409, PROBLEM), "retrieve", errors.ConflictError),
        ((500, PROBLEM), "retrieve", errors.ServerError),
        ("drop", "retrieve", errors.NoAnswerError),
        (f"HTTP/1.1 200 OK\r\n{EVERYTHING}\r\n\r\n".encode(), "retrieve", errors.NoAnswerError),
    ],
)
async def test_lost_and_failed_responses_are_not_quoted(
    line: Any, call: str, expected: type[LeadError], new_bank: Any, leaks: LeakDetector
) -> None:
    """Errors of aiohttp, which quote the response, are not shown either."""
    bank = await new_bank(line)
    await fail(expected, leaks, bank.client(token=TOKEN, observer=leaks.observe), call)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ((401, PROBLEM), errors.TokenError),
        ((200, {"access_token": f"{TOKEN}\n"}), errors.RequestNotSentError),
        ((200, {"access_token": [TOKEN]}), errors.RequestNotSentError),
    ],
)
async def test_refused_credentials_are_not_shown(
    response: Any, expected: type[LeadError], new_bank: Any, leaks: LeakDetector
) -> None:
    """Whatever the token endpoint responds."""
    bank = await new_bank(response)
    credentials = {"client_id": "me", "client_secret": CLIENT_SECRET, "token": None}
    await fail(expected, leaks, bank.client(**credentials, observer=leaks.observe))


@pytest.mark.asyncio
async def test_the_error_of_a_token_provider_is_only_the_cause(new_bank: Any, leaks: LeakDetector) -> None:
    """It is the program's own error, and the program decides whether to print the chain."""

    async def provide(rejected: str | None) -> str:
        raise ValueError(MESSAGE)

    bank = await new_bank("drop")
    async with bank.client(token=provide, observer=leaks.observe) as lead:
        with pytest.raises(errors.RequestNotSentError) as found:
            await lead.instant_payments.send(**PAYMENT)
    leaks.record(text=str(found.value), repr=repr(found.value))


@pytest.mark.asyncio
async def test_a_refused_connection_and_a_closed_client_are_not_quoted(new_bank: Any, leaks: LeakDetector) -> None:
    """Neither the request nor the token is in the errors."""
    bank = await new_bank("drop")
    bank.stop()
    lead = bank.client(token=TOKEN, retry=RetryPolicy(max_attempts=1), observer=leaks.observe)
    await fail(errors.RequestNotSentError, leaks, lead)
    with pytest.raises(errors.ConfigurationError) as found:
        await lead.instant_payments.send(**PAYMENT)
    leaks.record(closed=found.value)


@pytest.mark.asyncio
async def test_the_note_of_a_cancelled_send_has_no_personal_data(new_bank: Any, leaks: LeakDetector) -> None:
    """The note has the idempotency key only."""
    bank = await new_bank("hang")
    async with bank.client(token=TOKEN, observer=leaks.observe) as lead:
        sending = asyncio.create_task(lead.instant_payments.send(**PAYMENT))
        await bank.arrived.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError) as found:
            await sending
    assert found.value.__notes__
    leaks.record(cancelled=found.value)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "changes",
    [
        {"account_number_id": EVERYTHING},
        {"amount": EVERYTHING},
        {"currency_code": EVERYTHING},
        {"creditor": Party(name=NAME * 10, account_number=ACCOUNT * 10)},
        {"creditor": {"name": NAME}},
        {"creditor_agent": EVERYTHING},
        {"description": DESCRIPTION * 10},
        {"idempotency_key": NAME * 20},
    ],
)
async def test_invalid_arguments_are_named_and_not_quoted(
    changes: dict[str, Any], new_bank: Any, leaks: LeakDetector
) -> None:
    """The error has the field and the rule."""
    bank = await new_bank("drop")
    async with bank.client(token=TOKEN, observer=leaks.observe) as lead:
        with pytest.raises((errors.InvalidRequestError, TypeError)) as found:
            await lead.instant_payments.send(**{**PAYMENT, **changes})
        for wrong in (EVERYTHING, f"instant_payment_{NAME}"):
            with pytest.raises(errors.InvalidRequestError) as refused:
                await lead.instant_payments.return_payment(wrong, reason=EVERYTHING, additional_information=EVERYTHING)
            leaks.record(**{f"refused {wrong}": refused.value})
    assert bank.requests == []
    leaks.record(invalid=found.value)

"""Every error that a call can end in, from a bank that quotes back whatever it was told."""

import asyncio
from typing import Any

import pytest

from leadpay import errors
from leadpay.client import LeadClient
from leadpay.client.retry import RetryPolicy
from leadpay.errors import LeadError
from leadpay.models import Party
from tests.privacy.net import (
    ACCOUNT,
    CANARIES,
    CLIENT_SECRET,
    DESCRIPTION,
    MESSAGE,
    NAME,
    PAYMENT,
    TOKEN,
    Net,
    caught,
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


async def fail(expected: type[LeadError], net: Net, lead: LeadClient, call: str = "send") -> Any:
    """Make a call that ends in just this error."""
    async with lead:
        calls = {
            "send": lambda: lead.instant_payments.send(**PAYMENT),
            "retrieve": lambda: lead.instant_payments.retrieve("instant_payment_1"),
        }
        with pytest.raises(expected) as found:
            await calls[call]()
    assert type(found.value) is expected
    net.show(error=found.value, lead=lead)
    return found.value


@pytest.mark.asyncio
@pytest.mark.parametrize("status", STATUSES)
async def test_what_the_bank_quotes_is_in_the_details_of_an_error_alone(status: int, new_bank: Any, net: Net) -> None:
    """In ``detail`` and its like, for whoever wants it; never in what is printed or logged."""
    bank = await new_bank((status, PROBLEM))
    error = await fail(STATUSES[status], net, bank.client(token=TOKEN, observer=net.observe))
    for text in (error.title, error.detail, error.instance, error.invalid_parameters[0].reason):
        assert caught(text) == set(CANARIES)


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", MALFORMED)
async def test_an_answer_that_cannot_be_read_is_in_the_body_alone(answer: Any, new_bank: Any, net: Net) -> None:
    """The message has paths of fields that we know, and what is wrong there."""
    bank = await new_bank((200, answer))
    error = await fail(errors.MalformedResponseError, net, bank.client(token=TOKEN, observer=net.observe))
    assert caught(error.body.decode("latin-1")) == set(CANARIES)


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
async def test_silence_and_failing_servers_give_nothing_away(
    line: Any, call: str, expected: type[LeadError], new_bank: Any, net: Net
) -> None:
    """Nor does what aiohttp has to say about it."""
    bank = await new_bank(line)
    await fail(expected, net, bank.client(token=TOKEN, observer=net.observe), call)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((401, PROBLEM), errors.AuthenticationError),
        ((200, {"access_token": f"{TOKEN}\n"}), errors.RequestNotSentError),
        ((200, {"access_token": [TOKEN]}), errors.RequestNotSentError),
    ],
)
async def test_credentials_that_get_no_token_are_not_shown(
    answer: Any, expected: type[LeadError], new_bank: Any, net: Net
) -> None:
    """Whatever the token endpoint says of them."""
    bank = await new_bank(answer)
    credentials = {"client_id": "me", "client_secret": CLIENT_SECRET, "token": None}
    await fail(expected, net, bank.client(**credentials, observer=net.observe))


@pytest.mark.asyncio
async def test_a_token_provider_s_own_words_are_in_the_cause_alone(new_bank: Any, net: Net) -> None:
    """They are the program's, and so is the decision to print the chain."""

    async def provide(rejected: str | None) -> str:
        raise ValueError(MESSAGE)

    bank = await new_bank("drop")
    async with bank.client(token=provide, observer=net.observe) as lead:
        with pytest.raises(errors.RequestNotSentError) as found:
            await lead.instant_payments.send(**PAYMENT)
    net.show(text=str(found.value), repr=repr(found.value))


@pytest.mark.asyncio
async def test_nobody_listening_and_a_closed_client_give_nothing_away(new_bank: Any, net: Net) -> None:
    """No connection, no loop, no session."""
    bank = await new_bank("drop")
    bank.stop()
    lead = bank.client(token=TOKEN, retry=RetryPolicy(max_attempts=1), observer=net.observe)
    await fail(errors.RequestNotSentError, net, lead)
    with pytest.raises(errors.ConfigurationError) as found:
        await lead.instant_payments.send(**PAYMENT)
    net.show(closed=found.value)


@pytest.mark.asyncio
async def test_a_send_that_is_cancelled_is_noted_without_its_names(new_bank: Any, net: Net) -> None:
    """The note has the key, and no more."""
    bank = await new_bank("hang")
    async with bank.client(token=TOKEN, observer=net.observe) as lead:
        sending = asyncio.create_task(lead.instant_payments.send(**PAYMENT))
        await bank.arrived.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError) as found:
            await sending
    assert found.value.__notes__
    net.show(cancelled=found.value)


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
async def test_what_is_refused_before_it_leaves_is_named_and_not_quoted(
    changes: dict[str, Any], new_bank: Any, net: Net
) -> None:
    """Which field, and why."""
    bank = await new_bank("drop")
    async with bank.client(token=TOKEN, observer=net.observe) as lead:
        with pytest.raises((errors.InvalidRequestError, TypeError)) as found:
            await lead.instant_payments.send(**{**PAYMENT, **changes})
        for wrong in (EVERYTHING, f"instant_payment_{NAME}"):
            with pytest.raises(errors.InvalidRequestError) as refused:
                await lead.instant_payments.return_payment(wrong, reason=EVERYTHING, additional_information=EVERYTHING)
            net.show(**{f"refused {wrong}": refused.value})
    assert bank.requests == []
    net.show(invalid=found.value)

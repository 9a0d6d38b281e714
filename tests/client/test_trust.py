"""Which responses count: only the bank's, and only about what was asked."""

import asyncio
import gc
import logging
from typing import Any

import pytest

from leadpay.client import LeadClient
from leadpay.client.retry import RetryPolicy
from leadpay.client.transport import Response
from leadpay.config import Timeouts
from leadpay.errors import (
    APIError,
    ConflictError,
    InvalidRequestError,
    KeyReusedError,
    LeadError,
    MalformedResponseError,
    MismatchedResponseError,
    NoAnswerError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    UnprocessableEntityError,
)
from leadpay.instrumentation import CallEnded
from tests.support.scripted import response
from tests.support.scripted_transport import (
    NO_ANSWER,
    NOT_SENT,
    NOW,
    PAYMENT,
    Bank,
    error,
    ok,
    payment,
    return_request,
    send,
)
from tests.support.validation import ORDER

ID = "instant_payment_1"
AT_ONCE = RetryPolicy(base=0, cap=0)


def closing(data: Any, closed: list[Any]) -> Response:
    """Make a response of success that notes when its connection is closed."""
    return ok(data)._replace(close=lambda: closed.append(data))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"amount": 1}, "$.amount"),
        ({"account_number_id": "account_number_2"}, "$.account_number_id"),
        ({"direction": "incoming"}, "$.direction"),
        ({"creditor": {"name": "Mallory Jones", "account_number": "5353535353"}}, "$.creditor.name"),
        ({"creditor": {"name": "Canary Creditor", "account_number": "1"}}, "$.creditor.account_number"),
        ({"creditor_agent": {"routing_number": "222000222"}}, "$.creditor_agent.routing_number"),
        (
            {"related_objects": {"original_payment_id": "instant_payment_7"}},
            "$.related_objects.original_payment_id",
        ),
    ],
)
async def test_a_response_about_another_payment_is_no_response_to_a_send(changes: dict[str, Any], path: str) -> None:
    """Its connection is closed and the key kept; the next response counts, if it fits."""
    closed: list[Any] = []
    other = payment(id="instant_payment_9", **changes)
    bank = Bank(closing(other, closed), payment())
    assert (await send(bank)).id == ID
    assert closed == [other]
    assert bank.sent_keys == {"key-0"}
    with pytest.raises(MismatchedResponseError) as caught:
        await send(Bank(other))
    assert [problem.parameter for problem in caught.value.problems] == [path]
    assert (caught.value.idempotency_key, caught.value.payment_id) == ("key-0", None)
    assert "Mallory" not in str(caught.value)


@pytest.mark.asyncio
async def test_a_name_may_come_back_in_another_case() -> None:
    """Or with other spaces, or, if it is not ASCII, in other letters: the account number tells."""
    for name in ("CANARY CREDITOR", "Canary  creditor"):
        party = {"name": name, "account_number": "5353535353"}
        assert (await send(Bank(payment(creditor=party)))).creditor.name == name


@pytest.mark.asyncio
async def test_each_call_about_a_payment_checks_its_response() -> None:
    """Its ID, the status of a cancel, the original of a return."""
    other, related = payment(id="instant_payment_9"), {"original_payment_id": ID}
    calls: list[tuple[Any, Any]] = [
        (other, lambda calls: calls.retrieve(ID)),
        (payment(), lambda calls: calls.cancel(ID)),
        (payment(id="instant_payment_9", status="canceled"), lambda calls: calls.cancel(ID)),
        (other, lambda calls: calls.return_payment(ID, reason="duplication")),
        (other, lambda calls: calls.request_return(ID, reason="duplication")),
        (other, lambda calls: calls.reject_return_request(ID, reason="account_closed")),
        ({"available": True, "routing_number": "1"}, lambda calls: calls.check_availability("111000111")),
    ]
    for script, call in calls:
        bank = Bank(script)
        with pytest.raises((MismatchedResponseError, OutcomeUnknownError)) as caught:
            await call(bank.payments)
        chain = (caught.value, caught.value.__cause__)
        assert any(isinstance(one, MismatchedResponseError) for one in chain)
    assert (
        await Bank(payment(id="instant_payment_2", related_objects=related)).payments.return_payment(
            ID, reason="duplication"
        )
    ).id == "instant_payment_2"


@pytest.mark.asyncio
async def test_a_late_response_on_a_kept_connection_reaches_no_other_call(
    new_bank: Any, send: Any, payment: Any
) -> None:
    """The second payment's first response is the first one's, sent twice; every later call gets its own."""
    first, second = payment(), payment(id="instant_payment_2", amount=7)
    bank = await new_bank((200, first), (200, first), (200, second), (200, payment(id="instant_payment_3", amount=8)))
    async with bank.client() as lead:
        assert (await send(lead)).id == ID
        assert (await send(lead, amount=7)).id == "instant_payment_2"
        assert (await send(lead, amount=8)).id == "instant_payment_3"
    assert len(bank.requests) == 4


@pytest.mark.asyncio
async def test_a_response_on_an_idle_connection_responses_nothing(send: Any, payment: Any) -> None:
    """A load balancer writes a 400 before it closes a connection, and the next payment must not take it."""
    idle = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split()[0]))
                writer.write(response(200, payment()))
                await asyncio.sleep(0.01)
                writer.write(response(400, b"<html>", {"Content-Type": "text/html"}))
                idle.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, LeadClient(base_url=url, token="t", retry=AT_ONCE) as lead:
        for _ in range(5):
            idle.clear()
            assert (await send(lead)).id == ID
            await idle.wait()
            await asyncio.sleep(0.005)


@pytest.mark.asyncio
async def test_a_foreign_response_is_logged_without_what_it_repeats(
    new_bank: Any, send: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy's page may hold the request; the log has its harmless words only."""
    caplog.set_level(logging.DEBUG, "leadpay")
    page = b"<html><title>413 Request Entity Too Large</title>Canary Person 4242424242 nginx</html>"
    bank = await new_bank((413, page, {"Content-Type": "text/html"}))
    async with bank.client() as lead:
        with pytest.raises(OutcomeUnknownError) as caught:
            await send(lead)
    cause = caught.value.__cause__
    assert isinstance(cause, NoAnswerError)
    assert (cause.status, cause.content_type, cause.body_start) == (413, "text/html", page)
    assert (
        "HTTP 413 is not the bank's: <html><title>413 Request Entity Too Large</title>_ _ _ nginx</html>" in caplog.text
    )
    assert "Canary" not in f"{caplog.text}{caught.value!r}{cause!r}{cause}"


@pytest.mark.asyncio
async def test_a_known_key_with_another_request_is_no_refusal() -> None:
    """Whatever the status, it is not repeated, and says how to find out; the bank's other conflicts are not meant."""
    for status in (409, 422):
        bank = Bank(error(status, code="idempotency_error"))
        with pytest.raises(KeyReusedError) as caught:
            await send(bank, "mine")
        assert (caught.value.idempotency_key, len(bank.sent), caught.value.status) == ("mine", 1, status)
        assert not isinstance(caught.value, UnprocessableEntityError | ConflictError)
    with pytest.raises(UnprocessableEntityError):
        await send(Bank(error(422, code="insufficient_funds")))


@pytest.mark.asyncio
@pytest.mark.parametrize("last", [NOT_SENT, error(429), error(401), error(403), error(404), NO_ANSWER])
async def test_resuming_a_key_never_says_that_the_payment_was_not_executed(last: Any) -> None:
    """This call was not sent, or was not admitted; the earlier one may have been executed."""
    with pytest.raises(OutcomeUnknownError) as caught:
        await _send_again(Bank(last))
    assert (caught.value.idempotency_key, caught.value.first_sent_at) == ("mine", None)
    assert caught.value.__cause__ is not None
    with pytest.raises(UnprocessableEntityError):
        await _send_again(Bank(error(422)))
    assert (await _send_again(Bank(NOT_SENT, payment()))).id == ID


async def _send_again(bank: Bank) -> Any:
    order = {name: value for name, value in ORDER.items() if name != "key"}
    creditor = {"name": "Alex Smith", "account_number": "1234567890"}
    bank.script = [ok({**PAYMENT, "creditor": creditor}) if isinstance(line, dict) else line for line in bank.script]
    return await bank.payments.send(**order, idempotency_key="mine", resuming=True)


@pytest.mark.asyncio
async def test_resuming_needs_the_key() -> None:
    """Without it, nothing could be resumed, and a second payment could be sent."""
    order = {name: value for name, value in ORDER.items() if name != "key"}
    calls: list[Any] = [
        lambda calls: calls.send(**order, resuming=True),
        lambda calls: calls.cancel(ID, resuming=True),
        lambda calls: calls.return_payment(ID, reason="duplication", resuming=True),
    ]
    for call in calls:
        bank = Bank(payment())
        with pytest.raises(InvalidRequestError, match="resuming"):
            await call(bank.payments)
        assert bank.sent == []


@pytest.mark.asyncio
async def test_resuming_a_write_without_a_key_at_the_bank_reads_the_payment_first() -> None:
    """What has happened is not sent again."""
    bank = Bank(payment(status="canceled"))
    await bank.payments.cancel(ID, idempotency_key="mine", resuming=True)
    assert bank.operations == ["retrieve"]
    bank = Bank(payment(), payment(status="canceled"))
    await bank.payments.cancel(ID, idempotency_key="mine", resuming=True)
    assert bank.operations == ["retrieve", "cancel"]
    bank = Bank(error(403))
    with pytest.raises(OutcomeUnknownError, match="HTTP 403"):
        await bank.payments.cancel(ID, idempotency_key="mine", resuming=True)


@pytest.mark.asyncio
async def test_an_unknown_outcome_keeps_what_was_seen_last() -> None:
    """The cause, the request's ID, the code and the pause that was asked for; and when it was sent first."""
    headers = {"X-Request-Id": "req_1", "Retry-After": "3600"}
    with pytest.raises(OutcomeUnknownError) as caught:
        await send(Bank(error(503, headers, code="maintenance")))
    unknown = caught.value
    assert (unknown.request_id, unknown.code, unknown.retry_after) == ("req_1", "maintenance", 3600.0)
    assert str(unknown.__cause__) == "request req_1: HTTP 503 maintenance"
    assert unknown.first_sent_at is not None
    assert unknown.first_sent_at.timestamp() == NOW


@pytest.mark.asyncio
async def test_errors_of_a_write_name_the_payment() -> None:
    """The one that it is about, or the one that an unreadable response names."""
    with pytest.raises(LeadError) as refused:
        await Bank(error(422)).payments.cancel(ID)
    assert refused.value.payment_id == ID
    for body, found in (({"id": "instant_payment_5"}, "instant_payment_5"), ({"id": "x"}, None), ([], None)):
        with pytest.raises(MalformedResponseError) as caught:
            await send(Bank(ok(body)))
        assert caught.value.payment_id == found
    with pytest.raises(MalformedResponseError) as caught:
        await Bank(ok({"amount": "5000"})).payments.retrieve(ID)
    assert caught.value.payment_id == ID
    with pytest.raises(MalformedResponseError) as caught:
        await send(Bank(Response(200, {}, b"<html>")))
    assert caught.value.payment_id is None


@pytest.mark.asyncio
async def test_request_return_waits_while_its_own_key_is_in_progress() -> None:
    """The code says so; where it says nothing, the first conflicts are taken for it."""
    asked = payment(return_requests=[return_request("pending")])
    in_progress = error(409, code="request_in_progress")
    bank = Bank(in_progress, in_progress, in_progress, asked)
    await bank.payments.request_return(ID, reason="fraud_suspected")
    assert bank.operations == ["request_return"] * 4
    await Bank(error(409), error(409), asked).payments.request_return(ID, reason="fraud_suspected")
    bank = Bank(error(409))
    with pytest.raises(ConflictError):
        await bank.payments.request_return(ID, reason="fraud_suspected")
    assert len(bank.sent) == 3


class _Interrupt(BaseException):
    """What Ctrl-C raises in the middle of a call."""


@pytest.mark.asyncio
async def test_whatever_interrupts_a_write_leaves_its_key_behind(caplog: pytest.LogCaptureFixture) -> None:
    """Machine-readable, in a note and in a warning, and the observer is told of an unknown outcome."""
    told: list[Any] = []
    bank = Bank(_Interrupt())
    bank.executor._observer = told.append
    with pytest.raises(_Interrupt) as caught:
        await send(bank, "mine")
    assert vars(caught.value)["idempotency_key"] == "mine"
    assert "idempotency_key='mine'" in caught.value.__notes__[0]
    assert "idempotency_key='mine'" in caplog.text
    ended = told[-1]
    assert isinstance(ended, CallEnded)
    assert ended.outcome_unknown
    bank = Bank(_Interrupt())
    with pytest.raises(_Interrupt) as read:
        await bank.payments.retrieve(ID)
    assert not hasattr(read.value, "idempotency_key")


def test_a_loop_that_is_closed_under_a_write_leaves_its_key_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing can be raised any more, so the warning is all there is."""

    async def hang(*_: Any) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    bank = Bank(payment())
    bank.send = hang  # type: ignore[method-assign,assignment]
    loop = asyncio.new_event_loop()
    call = send(bank, "mine")
    task = loop.create_task(call)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined] # asyncio would complain, too
    call.close()
    del task
    gc.collect()
    assert "send was interrupted and may have happened; idempotency_key='mine'" in caplog.text


@pytest.mark.asyncio
async def test_a_short_deadline_still_gives_one_attempt(new_bank: Any, send: Any, payment: Any) -> None:
    """However little time there is."""
    bank = await new_bank((200, payment()))
    async with bank.client(timeouts=Timeouts(deadline=1)) as lead:
        assert (await send(lead)).id == ID


def kept(status: int, code: str = "some_code") -> Response:
    """Make an error response on a connection that had other requests before."""
    return error(status, code=code)._replace(is_on_kept_connection=True)


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [400, 403, 404, 422])
async def test_a_refusal_on_a_kept_connection_is_confirmed_on_a_new_one(status: int) -> None:
    """It may be the response to another request: the same key brings the payment, or the same refusal again."""
    bank = Bank(kept(status), payment())
    assert (await send(bank, "mine")).id == "instant_payment_1"
    assert [request.wants_new_connection for request, _, _ in bank.sent] == [False, True]
    assert bank.sent_keys == {"mine"}
    assert bank.clock.slept == []
    bank = Bank(kept(status), error(status))
    with pytest.raises(APIError) as caught:
        await send(bank)
    assert (caught.value.status, caught.value.attempts) == (status, 2)
    bank = Bank(error(status))
    with pytest.raises(APIError):
        await send(bank)
    assert len(bank.sent) == 1


@pytest.mark.asyncio
async def test_what_is_not_confirmed_is_an_unknown_outcome() -> None:
    """Another refusal before the key was looked at says nothing, nor does a bank that cannot be reached."""
    for second in (error(403, code="another"), NO_ANSWER, NOT_SENT):
        with pytest.raises(OutcomeUnknownError):
            await send(Bank(kept(404), second))
    with pytest.raises(UnprocessableEntityError):
        await send(Bank(kept(404), error(422)))


@pytest.mark.asyncio
async def test_a_write_without_a_key_is_confirmed_by_the_payment() -> None:
    """Cancel is not sent again: the payment is read."""
    bank = Bank(kept(422), payment(status="canceled"))
    assert (await bank.payments.cancel(ID)).status == "canceled"
    assert bank.operations == ["cancel", "retrieve"]
    with pytest.raises(UnprocessableEntityError):
        await Bank(kept(422), payment(status="posted")).payments.cancel(ID)
    with pytest.raises(PermissionDeniedError):
        await Bank(kept(403)).payments.cancel(ID)


@pytest.mark.asyncio
async def test_a_read_is_not_confirmed() -> None:
    """It changes nothing."""
    bank = Bank(kept(404))
    with pytest.raises(NotFoundError):
        await bank.payments.retrieve(ID)
    assert len(bank.sent) == 1


@pytest.mark.asyncio
async def test_further_conflicts_come_on_new_connections() -> None:
    """A late one could be another request's; the last one stands."""
    bank = Bank(kept(409))
    with pytest.raises(ConflictError):
        await bank.payments.request_return(ID, reason="duplication")
    assert [request.wants_new_connection for request, _, _ in bank.sent] == [False, True, True]

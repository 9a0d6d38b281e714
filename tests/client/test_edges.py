"""What must not happen at the edges of the client: foreign errors, leaks into logs, requests that should not leave."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from leadpay.client import LeadClient
from leadpay.config import BASE_URLS
from leadpay.errors import (
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    LeadError,
    MalformedResponseError,
    OutcomeUnknownError,
    UnprocessableEntityError,
)
from leadpay.models import Agent, Party

ID = "instant_payment_1"
CANARY = "Canary\udcff7"


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
async def test_logs_hold_nothing_personal_and_no_secret(
    new_bank: Any, send: Any, payment: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG, of every logger, through success, silence, refusal, nonsense and a renewal."""
    caplog.set_level(logging.DEBUG)
    issued = (200, {"access_token": "canary-token", "expires_in": 60})
    problem = {"code": "x", "detail": "Canary Person", "invalid_parameters": [{"parameter": "a", "reason": "Canary"}]}
    lines: list[Any] = [(200, payment()), (422, problem), (200, b"Canary"), (401, problem), "drop", (500, problem)]
    for line in lines:
        bank = await new_bank(issued, line, issued, (200, payment()))
        async with bank.client(client_id="me", client_secret="canary-secret") as lead:
            try:
                await send(lead)
            except LeadError as error:
                assert "anary" not in f"{error!s}{error!r}"  # noqa: PT017 - not every line ends in an error
    assert "POST /v1/instant_payments -> 422 (attempt 1" in caplog.text
    for canary in ("Canary", "4242424242", "canary-token", "canary-secret"):
        assert canary not in caplog.text


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


def test_a_session_of_another_event_loop_is_refused() -> None:
    """Before anything is sent through it."""

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def use(session: aiohttp.ClientSession) -> None:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await LeadClient(token="t", session=session).instant_payments.retrieve(ID)
        await session.close()

    asyncio.run(use(asyncio.run(make())))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("machine 127.0.0.1 login me password canary", True),
        ("default login me password canary", True),
        ("machine elsewhere.example login me password canary", False),
        ("nonsense", False),
    ],
)
@pytest.mark.parametrize("place", ["NETRC", "HOME"])
async def test_a_login_in_netrc_that_a_borrowed_session_would_use_is_refused(
    *, line: str, refused: bool, place: str, new_bank: Any, send: Any, payment: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """Before anything is sent, with the key: aiohttp takes no token beside it, and would say so as anybody could."""
    (tmp_path / ".netrc").write_text(line)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv(place, str(tmp_path / ".netrc" if place == "NETRC" else tmp_path))
    bank = await new_bank((200, payment()))
    async with aiohttp.ClientSession(trust_env=True) as session:
        lead = bank.client(session=session)
        if refused:
            with pytest.raises(ConfigurationError, match="netrc") as caught:
                await send(lead, "mine")
            assert caught.value.idempotency_key == "mine"
            assert "canary" not in str(caught.value)
        else:
            assert (await send(lead)).id == ID
    assert bool(bank.requests) is not refused


@pytest.mark.asyncio
async def test_every_write_without_a_key_gets_one_of_its_own(new_bank: Any, send: Any, payment: Any) -> None:
    """Of 128 random bits."""
    bank = await new_bank((200, payment()))
    async with bank.client() as lead:
        for _ in range(5):
            await send(lead)
    assert len(bank.keys) == 5
    assert all(re.fullmatch("[0-9a-f]{32}", key) for key in bank.keys)


@pytest.mark.asyncio
async def test_an_answer_too_long_for_one_read_is_put_together(new_bank: Any, payment: Any) -> None:
    """A megabyte comes in several pieces, each after the call has begun to wait for it."""
    bank = await new_bank((200, payment(padding="x" * 2**20)))
    async with bank.client() as lead:
        assert len((await lead.instant_payments.retrieve(ID)).unknown_fields["padding"]) == 2**20


@pytest.mark.asyncio
async def test_an_endless_answer_is_cut_off(new_bank: Any, send: Any) -> None:
    """Chunk after chunk without a length: it ends at the limit, and the yes counts as unreadable."""
    flood = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"100000\r\n" + b" " * 2**20 + b"\r\n") * 18
    bank = await new_bank(flood)
    async with bank.client() as lead:
        with pytest.raises(MalformedResponseError, match="larger than"):
            await send(lead, "mine")
    assert len(bank.requests) == 1


@pytest.mark.asyncio
async def test_closing_that_is_interrupted_closes_the_session_all_the_same(new_bank: Any, send: Any) -> None:
    """Also while a token is on its way."""
    bank = await new_bank("hang")
    lead = bank.client(client_id="me", client_secret="s3cret")
    waiting = asyncio.create_task(send(lead))
    await bank.arrived.wait()
    owned = lead._session
    closing = asyncio.create_task(lead.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert owned.closed
    with pytest.raises(LeadError):
        await waiting


@pytest.mark.parametrize(
    "arguments",
    [
        {"client_id": "me", "client_secret": "s\udcff"},
        {"token": "t", "base_url": "https://a..example"},
        {"token": "t", "base_url": f"https://{'a' * 70}.example"},
        {"token": 7},
    ],
)
def test_what_would_fail_at_every_call_is_refused_at_construction(arguments: dict[str, Any]) -> None:
    """A secret without bytes, a host that no resolver takes, a token that is no text."""
    with pytest.raises(ConfigurationError):
        LeadClient(**arguments)


@pytest.mark.parametrize("url", ["https://api.lead.bank", "https://API.LEAD.BANK:443/", "https://api.lead.bank/v0"])
def test_production_is_recognized_by_its_host(url: str) -> None:
    """However its address is spelled."""
    with pytest.raises(ConfigurationError, match="simulate"):
        _ = LeadClient(token="t", base_url=url).simulate


def test_an_argument_goes_before_the_environment() -> None:
    """An environment by name beats an address that lies around; None is no argument."""
    env = {"LEAD_CLIENT_ID": "me", "LEAD_CLIENT_SECRET": "s", "LEAD_ENVIRONMENT": "production"}
    local = {**env, "LEAD_BASE_URL": "http://127.0.0.1:1"}
    production = f"LeadClient(base_url={BASE_URLS['production']!r})"
    assert repr(LeadClient.from_env(local, environment="production")) == production
    assert repr(LeadClient.from_env(env, base_url=None, token=None)) == production
    assert repr(LeadClient.from_env(local)) == "LeadClient(base_url='http://127.0.0.1:1')"
    both = LeadClient.from_env(local, environment="sandbox", base_url="http://127.0.0.1:2")
    assert repr(both) == "LeadClient(base_url='http://127.0.0.1:2')"

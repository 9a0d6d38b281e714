"""The calls about account numbers, against the sandbox and against a bank that responds from a script."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from leadpay.enums import CounterpartyFilter
from leadpay.errors import (
    BadRequestError,
    InvalidRequestError,
    MismatchedResponseError,
    OutcomeUnknownError,
    UnprocessableEntityError,
)
from leadpay.models import AccountNumber, AllowedCounterparty, CounterpartyControls, InstantPaymentControls
from tests.support.account_numbers import ACCOUNT_NUMBER
from tests.support.scene import Scene

pytestmark = pytest.mark.asyncio

ID = "account_number_1"
FRIEND = AllowedCounterparty(account_number="1234567890", routing_number="111000111")
OTHER = AllowedCounterparty(account_number="998877665544", routing_number="111000111")
ONLY_LISTED = CounterpartyControls(counterparty_filter=CounterpartyFilter.ALLOWLIST_ONLY)


def incoming(number: AccountNumber) -> tuple[str | None, list[str]]:
    """The filter and the account numbers on the list of incoming payments."""
    assert number.instant_payment_controls is not None
    controls = number.instant_payment_controls.incoming or CounterpartyControls()
    listed = controls.counterparty_account_numbers_allowlist or ()
    return controls.counterparty_filter, [one.account_number for one in listed]


async def test_controls_decide_who_may_pay_in(scene: Scene) -> None:
    """A payment against the controls is rejected; once its debtor is allowed, the next one posts."""
    numbers = scene.lead.account_numbers
    await numbers.update(ID, instant_payment_controls=InstantPaymentControls(incoming=ONLY_LISTED))
    rejected = await scene.receive()
    assert rejected.rejection is not None
    assert rejected.rejection.reason == "restricted_by_account_number_controls"
    await numbers.allow(ID, FRIEND, direction="incoming")
    assert (await scene.receive()).status == "posted"
    await numbers.deny(ID, FRIEND, direction="incoming")
    assert (await scene.receive()).status == "rejected"


async def test_controls_decide_who_may_be_paid(scene: Scene) -> None:
    """A send to another creditor is refused, and no payment is made."""
    number = await scene.lead.account_numbers.allow(
        ID, OTHER, direction="outgoing", counterparty_filter="allowlist_only"
    )
    assert incoming(number) == ("accept_all", [])
    with pytest.raises(UnprocessableEntityError) as caught:
        await scene.send()
    assert caught.value.code == "restricted_by_account_number_controls"
    await scene.lead.account_numbers.allow(ID, FRIEND, direction="outgoing")
    assert (await scene.send()).status == "created"


async def test_an_update_changes_only_what_is_given(scene: Scene) -> None:
    """Metadata, the other direction, and the list beside the filter stay."""
    numbers = scene.lead.account_numbers
    await numbers.allow(ID, FRIEND, direction="incoming")
    before = await numbers.update(ID, metadata={"branch": "north"})
    after = await numbers.update(ID, instant_payment_controls=InstantPaymentControls(incoming=ONLY_LISTED))
    assert incoming(after) == ("allowlist_only", [FRIEND.account_number])
    assert after.metadata == before.metadata == {"branch": "north"}
    assert await numbers.retrieve(ID) == after


async def test_a_number_that_is_not_active_neither_sends_nor_receives(scene: Scene) -> None:
    """It does again once it is active; a canceled one cannot be activated."""
    numbers = scene.lead.account_numbers
    assert (await numbers.deactivate(ID, metadata={"why": "audit"})).metadata == {"why": "audit"}
    with pytest.raises(UnprocessableEntityError) as caught:
        await scene.send()
    assert caught.value.detail == "The account number is not active."
    assert (await scene.receive()).status == "rejected"
    assert (await numbers.activate(ID)).is_active
    assert (await scene.receive()).status == "posted"
    assert (await numbers.cancel(ID)).status == "canceled"
    with pytest.raises(BadRequestError):
        await numbers.activate(ID)


async def test_account_numbers_are_listed(scene: Scene) -> None:
    """All of them, by account, and by the number itself."""
    for suffix in ("1", "2", "3"):
        await scene.lead.account_numbers.retrieve(f"account_number_{suffix}")
    found = [one async for one in scene.lead.account_numbers.list(limit=1)]
    assert [one.id for one in found] == ["account_number_3", "account_number_2", "account_number_1"]
    page = await scene.lead.account_numbers.list(account_id="account_2")
    assert page.objects == (found[1],)
    assert [one async for one in scene.lead.account_numbers.list(account_number=found[2].account_number)] == found[2:]
    with pytest.raises(InvalidRequestError, match="account_number: must have 1 to 17 characters"):
        await scene.lead.account_numbers.list(account_number="1" * 18)
    with pytest.raises(InvalidRequestError, match="account_id: must be an ID"):
        await scene.lead.account_numbers.list(account_id="account_number_1")


async def test_a_counterparty_is_listed_once(scene: Scene) -> None:
    """To allow or deny again sends nothing; tasks of one client lose no entry of each other."""
    numbers = scene.lead.account_numbers
    others = [
        AllowedCounterparty(account_number=f"8000000{number:02}", routing_number="111000111") for number in range(20)
    ]
    await asyncio.gather(*(numbers.allow(ID, one, direction="incoming") for one in others))
    number = await numbers.allow(ID, others[0], direction="incoming")
    assert sorted(incoming(number)[1]) == [one.account_number for one in others]
    with pytest.raises(InvalidRequestError, match="the allow-list has its 20 entries"):
        await numbers.allow(ID, FRIEND, direction="incoming")
    assert await numbers.deny(ID, FRIEND, direction="incoming") == number
    filtered = await numbers.allow(ID, others[0], direction="incoming", counterparty_filter="allowlist_only")
    assert incoming(filtered)[0] == "allowlist_only"


async def test_wrong_arguments_of_allow_are_named(scene: Scene) -> None:
    """All at once, before anything is sent."""
    with pytest.raises(InvalidRequestError) as caught:
        await scene.lead.account_numbers.allow(
            ID,
            "1234567890",  # type: ignore[arg-type]  # is refused
            direction="sideways",  # type: ignore[arg-type]  # is refused
            counterparty_filter="some",  # type: ignore[arg-type]  # is refused
        )
    assert [problem.parameter for problem in caught.value.problems] == [
        "counterparty",
        "direction",
        "counterparty_filter",
    ]


def shown(*listed: AllowedCounterparty, chosen: str = "allowlist_only", outgoing: Any = None) -> tuple[int, Any]:
    """A response with these counterparties on the list of incoming payments."""
    entries = [{"account_number": one.account_number, "routing_number": one.routing_number} for one in listed]
    controls = {"counterparty_filter": chosen, "counterparty_account_numbers_allowlist": entries}
    return 200, {
        **ACCOUNT_NUMBER,
        "id": ID,
        "instant_payment_controls": {"incoming": controls, **({"outgoing": outgoing} if outgoing else {})},
    }


async def test_an_entry_that_another_program_removed_is_added_again(new_bank: Callable[..., Any]) -> None:
    """The list is read after the write; the second write keeps what the other program wrote."""
    bank = await new_bank(shown(), shown(FRIEND), shown(OTHER), shown(OTHER, FRIEND), shown(OTHER, FRIEND))
    async with bank.client() as lead:
        number = await lead.account_numbers.allow(ID, FRIEND, direction="incoming")
    assert incoming(number)[1] == [OTHER.account_number, FRIEND.account_number]
    assert [line.split()[0] for line in bank.lines] == ["GET", "PATCH", "GET", "PATCH", "GET"]


async def test_a_list_that_never_rests_is_given_up(new_bank: Callable[..., Any]) -> None:
    """After five writes."""
    bank = await new_bank(shown(), *[shown(FRIEND), shown()] * 5)
    async with bank.client() as lead:
        with pytest.raises(MismatchedResponseError, match="gave up after 5 writes"):
            await lead.account_numbers.allow(ID, FRIEND, direction="incoming")
    assert len(bank.lines) == 11


async def test_a_change_of_the_other_direction_is_told(new_bank: Callable[..., Any]) -> None:
    """A bank that resets what was left out would open the account number to everyone."""
    bank = await new_bank(shown(outgoing={"counterparty_filter": "reject_all"}), shown(FRIEND))
    async with bank.client() as lead:
        with pytest.raises(MismatchedResponseError, match=r"has changed as well @ \$.*outgoing"):
            await lead.account_numbers.allow(ID, FRIEND, direction="incoming")


async def test_controls_that_the_bank_begins_to_show_are_no_change(new_bank: Callable[..., Any]) -> None:
    """What it did not send was its default."""
    bare = {key: value for key, value in ACCOUNT_NUMBER.items() if key != "instant_payment_controls"}
    after = shown(FRIEND, outgoing={"counterparty_filter": "accept_all", "counterparty_account_numbers_allowlist": []})
    bank = await new_bank((200, {**bare, "id": ID}), after, after)
    async with bank.client() as lead:
        number = await lead.account_numbers.allow(
            ID, FRIEND, direction="incoming", counterparty_filter="allowlist_only"
        )
    assert incoming(number) == ("allowlist_only", [FRIEND.account_number])


async def test_an_update_that_is_not_shown_is_an_error(new_bank: Callable[..., Any]) -> None:
    """The bank accepted it and shows another filter: the error names it, and has the key."""
    bank = await new_bank(shown(chosen="accept_all"))
    async with bank.client() as lead:
        with pytest.raises(MismatchedResponseError, match="counterparty_filter") as caught:
            await lead.account_numbers.update(ID, instant_payment_controls=InstantPaymentControls(incoming=ONLY_LISTED))
    assert caught.value.idempotency_key == "key-1"
    assert len(bank.lines) == 1


async def test_a_lost_response_is_verified(new_bank: Callable[..., Any]) -> None:
    """The account number is read: what shows the change is the result, otherwise the update is sent again."""
    change = InstantPaymentControls(incoming=ONLY_LISTED)
    bank = await new_bank("drop", shown())
    async with bank.client() as lead:
        await lead.account_numbers.update(ID, instant_payment_controls=change)
    assert [line.split()[0] for line in bank.lines] == ["PATCH", "GET"]
    bank = await new_bank("drop", shown(chosen="accept_all"), shown())
    async with bank.client() as lead:
        await lead.account_numbers.update(ID, instant_payment_controls=change)
    assert [line.split()[0] for line in bank.lines] == ["PATCH", "GET", "PATCH"]
    bank = await new_bank("drop")
    async with bank.client() as lead:
        with pytest.raises(OutcomeUnknownError):
            await lead.account_numbers.cancel(ID)


async def test_another_account_number_is_no_response(new_bank: Callable[..., Any]) -> None:
    """What was asked for is another ID."""
    bank = await new_bank((200, {**ACCOUNT_NUMBER, "id": "account_number_2"}))
    async with bank.client() as lead:
        with pytest.raises(MismatchedResponseError):
            await lead.account_numbers.retrieve(ID)

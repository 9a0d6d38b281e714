"""Each scenario's states and events, and how a test chooses one."""

from collections.abc import Mapping

import pytest

from leadpay.sandbox import account_number, describe
from leadpay.sandbox.constants import REJECTION_REASONS
from leadpay.sandbox.scenarios import ACCOUNT_NUMBERS, SCENARIOS
from tests.support.api_client import ACCOUNT_NUMBER_ID, ApiClient

POSTED, ARRIVED, REJECTED = "posted", "counterparty_status_updated", "rejected"
EVENTS: Mapping[str, list[str]] = {
    "posted": [POSTED, ARRIVED],
    "reviewed": ["under_review", POSTED, ARRIVED],
    "held": ["under_review"],
    "reviewed_there": [POSTED, ARRIVED, ARRIVED],
    "held_there": [POSTED, ARRIVED],
    "unsubmitted": [],
    "silent": [POSTED],
    "rejected_by_lead": [REJECTED],
    "rejected_by_network": [REJECTED],
    "rejected_by_counterparty": [REJECTED],
    "returned": [POSTED, ARRIVED, POSTED],
    "reviewed_and_returned": [POSTED, ARRIVED, ARRIVED, POSTED],
    "reviewed_and_rejected": ["under_review", REJECTED],
}
"""The events of an outgoing payment in each scenario, in order."""


@pytest.mark.parametrize("scenario", EVENTS)
@pytest.mark.parametrize("chosen", ["by number", "by name"])
def test_each_scenario_emits_its_events_and_no_others(api: ApiClient, scenario: str, chosen: str) -> None:
    """The creditor's account number chooses it, or a test does; afterwards no money is missing."""
    name = f"{scenario}:other" if scenario in {one.name for one in SCENARIOS if one.has_reasons} else scenario
    if chosen == "by name":
        api.bank.next_payment(name)
        api.send()
    else:
        api.send_to(account_number(name))
    api.advance()
    assert api.new_events() == EVENTS[scenario]
    assert api.bank.ledger.total == 0


def test_every_scenario_is_tested() -> None:
    """A new one needs its row in EVENTS."""
    assert {scenario.name for scenario in SCENARIOS} | {"posted"} == set(EVENTS)


@pytest.mark.parametrize("number", [number for number, (one, _) in ACCOUNT_NUMBERS.items() if one.has_reasons])
def test_every_reason_can_be_chosen(api: ApiClient, number: str) -> None:
    """Lead, the network and the counterparty reject for it, before posting and after."""
    payment = api.send_to(number)
    api.advance()
    scenario, outcome = ACCOUNT_NUMBERS[number]
    rejection = api.retrieve(payment)["rejection"]
    reason = outcome.name.partition(":")[2]
    by = {"rejected_by_lead": "lead", "reviewed_and_rejected": "lead", "rejected_by_network": "network"}
    assert rejection["reason"] == reason == list(REJECTION_REASONS)[int(number[-3:]) - 1]
    assert rejection["rejected_by"] == by.get(scenario.name, "counterparty")
    assert api.bank.ledger.balance(ACCOUNT_NUMBER_ID) == 10**14


@pytest.mark.parametrize(
    ("routing_number", "reason"),
    [
        ("990000404", "participant_not_on_network"),
        ("990000503", "participant_signed_off"),
        ("990000422", "routing_number_format_incorrect"),
    ],
)
def test_the_network_rejects_a_payment_to_a_bank_that_cannot_be_paid(
    api: ApiClient, routing_number: str, reason: str
) -> None:
    """This needs no check of its availability before."""
    payment = api.send(creditor_agent={"routing_number": routing_number})
    api.advance()
    rejection = api.retrieve(payment)["rejection"]
    assert (rejection["rejected_by"], rejection["reason"]) == ("network", reason)


@pytest.mark.parametrize(
    ("number", "events"),
    [
        ("1234567890", ["posted"]),
        ("9900000001", ["under_review", "posted"]),
        ("9900001017", ["rejected"]),
        ("9900006009", ["under_review", "rejected"]),
        ("9900004001", ["posted"]),
    ],
)
def test_the_debtor_chooses_how_an_incoming_payment_ends(api: ApiClient, number: str, events: list[str]) -> None:
    """A scenario that an incoming payment cannot have is ignored."""
    api.receive(debtor={"name": "Robin Brown", "account_number": number})
    assert api.new_events() == events


def test_an_unknown_outcome_or_direction_is_refused(api: ApiClient) -> None:
    """A test learns of its typo before any payment."""
    with pytest.raises(ValueError, match="outcome"):
        api.bank.next_payment("lost")
    with pytest.raises(ValueError, match="direction"):
        api.bank.next_payment("posted", direction="sideways")
    with pytest.raises(ValueError, match="outcome"):
        account_number("lost")
    assert account_number("posted") == "1234567890"


def test_the_table_lists_every_number() -> None:
    """Every scenario, reason and routing number is in the text."""
    text = describe()
    for scenario in SCENARIOS:
        assert f"{scenario.name}{':REASON' if scenario.has_reasons else ''}" in text
    for part in ("990000404", "990000503", "990000422", "account_closed", "9900000005"):
        assert part in text

"""Accounts and their balances."""

import pytest

from leadpay.sandbox.ledger import OPENING_BALANCE, Ledger
from leadpay.sandbox.problems import ApiProblem
from tests.support.api_client import ACCOUNT_NUMBER_ID, INCOMING, ORDER, PAYMENTS, SIMULATE, ApiClient


def test_an_account_is_opened_at_first_use() -> None:
    """It has a large balance, and money is neither made nor lost."""
    ledger = Ledger()
    account = ledger.find("account_number_1")
    assert (account.account_id, ledger.balance(account.id), ledger.total) == ("account_1", OPENING_BALANCE, 0)
    assert ledger.find("account_number_1") is account


def test_a_strict_ledger_has_only_opened_accounts() -> None:
    """Others are refused with 403."""
    ledger = Ledger(strict=True)
    with pytest.raises(ApiProblem, match="403 account_number_forbidden"):
        ledger.find("account_number_1")
    ledger.open("account_number_1", balance=5)
    assert ledger.find("account_number_1").id == "account_number_1"


def test_money_that_leaves_an_account_is_outside() -> None:
    """The sum of all money stays 0, also when an account gets a new balance."""
    ledger = Ledger()
    account = ledger.open("account_number_1", balance=100)
    ledger.post(account, -30)
    assert (ledger.balance(account.id), ledger.total) == (70, 0)
    assert ledger.covers(account, 70)
    assert not ledger.covers(account, 71)
    ledger.open("account_number_1", balance=7)
    assert (ledger.balance(account.id), ledger.total) == (7, 0)


def test_a_strict_bank_refuses_unknown_accounts_and_low_balances() -> None:
    """A sender gets 403, a simulation 422, and a payment over the balance is rejected by Lead."""
    api = ApiClient(strict=True)
    assert api.problem("POST", PAYMENTS, ORDER)[:2] == (403, "account_number_forbidden")
    assert api.problem("POST", f"{SIMULATE}/incoming", INCOMING)[:2] == (422, "operation_not_allowed")
    api.bank.ledger.open(ACCOUNT_NUMBER_ID, balance=4999)
    payment = api.send()
    api.advance()
    assert api.retrieve(payment)["rejection"]["reason"] == "non_sufficient_funds"
    assert api.bank.ledger.balance(ACCOUNT_NUMBER_ID) == 4999
    api.bank.ledger.open(ACCOUNT_NUMBER_ID, balance=5000)
    payment = api.send()
    api.advance()
    assert api.retrieve(payment)["status"] == "posted"
    assert (api.bank.ledger.balance(ACCOUNT_NUMBER_ID), api.bank.ledger.total) == (0, 0)

"""A sample account number, as the bank sends one."""

from typing import Any, Final

NUMBER: Final = "440011223344"
ALLOWED: Final = "998877665544"
CUSTOMER: Final = "gertrude-7"

ACCOUNT_NUMBER: Final[dict[str, Any]] = {
    "id": "account_number_xyz123",
    "account_number": NUMBER,
    "routing_number": "101019644",
    "account_id": "account_xyz123",
    "client_customer_id": CUSTOMER,
    "entity_id": "entity_xyz123",
    "status": "active",
    "ach_controls": {"incoming": {"accept_debit": False}},
    "wire_controls": {"incoming": {"counterparty_filter": "reject_all"}},
    "internal_transfer_controls": {"outgoing": {"counterparty_filter": "accept_all"}},
    "instant_payment_controls": {
        "incoming": {
            "counterparty_filter": "allowlist_only",
            "counterparty_account_numbers_allowlist": [{"account_number": ALLOWED, "routing_number": "111000111"}],
        },
        "outgoing": {"counterparty_filter": "accept_all"},
    },
    "metadata": {"branch": "north"},
    "created_at": "2024-03-01T09:30:00Z",
    "updated_at": "2024-03-02T09:30:00Z",
}

"""What the bank sends, made up: the bodies that every contestant gets."""

from typing import Any, Final

import orjson

SECRET: Final = "whsec_c2VjcmV0IG9mIHRoZSBiZW5jaG1hcms"
EVENT_TYPE: Final = "instant_payment.return_request_response_needed"


def payment(number: int = 0) -> dict[str, Any]:
    """Make an incoming payment that a return is requested for: nine models, and no field that can be left out."""
    return {
        "id": f"instant_payment_01hqx4w0k2v9t7e3m8n6{number:06d}",
        "account_id": "account_01hqx4vj5d8r2c7b1f9g3k6z",
        "account_number_id": "account_number_01hqx4vk9s4w6y8a2e5h7j1m",
        "direction": "incoming",
        "status": "posted",
        "amount": 129_900,
        "currency_code": "USD",
        "debtor": {"name": "Gertrude Margaret Lowthian Bell", "account_number": "44001122334455667"},
        "debtor_agent": {"routing_number": "121000248"},
        "creditor": {"name": "Ada Augusta King of Lovelace", "account_number": "99887766554433221"},
        "creditor_agent": {"routing_number": "026009593"},
        "payment_identifiers": {
            "end_to_end_id": "E2E-2024-03-01-000000000000000017",
            "uetr": "8c0c1dd9-3ffe-4b45-9b0d-4c5f0d8b43aa",
        },
        "related_objects": {},
        "return_requests": [
            {
                "status": "response_needed",
                "reason": "duplication",
                "created_at": "2024-03-02T10:00:00Z",
                "details": "The same invoice has been paid twice, on the first and on the second of March 2024.",
                "deadline": "2024-03-15T23:30:00-04:00",
            }
        ],
        "created_at": "2024-03-01T09:30:00.104Z",
        "updated_at": "2024-03-02T10:00:00.250Z",
        "description": "Invoice 2024-0117, 40 hours of analytical engine time in February, and punched cards for it",
    }


def event(number: int = 0) -> dict[str, Any]:
    """Make the event of such a payment."""
    return {
        "id": f"event_01hqx4w0k8c3f5p7q9s1u2x4{number:06d}",
        "created_at": "2024-03-02T10:00:00.250Z",
        "event": EVENT_TYPE,
        "object": payment(number),
    }


def body(number: int = 0) -> bytes:
    """Make the raw bytes of a webhook, some 1.4 KB."""
    return orjson.dumps(event(number))


def unknown_body(number: int = 0) -> bytes:
    """Make the same webhook as a later version of the bank's API could: two new fields, a new status and reason."""
    data = event(number)
    request = data["object"]["return_requests"][0]
    data["object"] |= {"status": "on_hold", "settlement_method": "clearing"}
    request |= {"reason": "brand_new", "reference": "R-2024-17"}
    return orjson.dumps(data)

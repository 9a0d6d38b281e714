"""Events to keep, and a clock that is moved by hand."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from leadpay.models import Event
from leadpay.webhooks.event import parse

NOW: Final = 1_700_000_000.0
RECEIVED: Final = datetime.fromtimestamp(NOW, UTC)
PAYMENTS: Final[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "payments.json").read_text())


def event_of(
    event_id: str, *, payment: str | None = None, minute: int = 0, version: int = 0, event_type: str | None = None
) -> tuple[Event, bytes]:
    """Make an event and its body; without a payment it is about something else. Minutes are after half past nine."""
    payload: Any = {"id": "account_1"}
    if payment is not None:
        changed = {"id": payment, "updated_at": f"2024-03-01T10:{version:02}:00Z"}
        payload = {**PAYMENTS["incoming, asked back"], **changed}
    default = "account.created" if payment is None else "instant_payment.posted"
    created_at = f"2024-03-01T09:{30 + minute}:00Z"
    data = {"id": event_id, "created_at": created_at, "event": event_type or default, "object": payload}
    body = json.dumps(data).encode()
    return parse(body), body

"""Sample payments, and what of them has to come back out."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

PAYMENTS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "payments.json").read_text())
FULL = "everything at once, in the newer spellings"
TIMES = ("created_at", "updated_at", "deadline", "resolved_at")


def as_meant(data: Any) -> Any:
    """Fill in defaults and make times comparable: the two freedoms that coming back out has."""
    if isinstance(data, list):
        return [as_meant(one) for one in data]
    if not isinstance(data, dict):
        return data
    if "amount" in data and data.get("updated_at") is None:
        data = {**data, "updated_at": data["created_at"]}
    meant = {
        name: datetime.fromisoformat(value) if name in TIMES and value is not None else as_meant(value)
        for name, value in data.items()
    }
    return {name: value for name, value in meant.items() if value not in (None, [], {})}

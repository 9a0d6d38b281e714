"""How many of our own functions a call passes through."""

from typing import Any

import pytest

from tests.support.call_counting import counting_calls

MAX_CALLS = 25
MAX_FILES = 9
"""What one send may pass through, so that a reader can follow it."""


@pytest.mark.asyncio
async def test_a_send_passes_through_few_functions(new_bank: Any, send: Any, payment: Any) -> None:
    """On warm objects, with a token from credentials and a key of our own making."""
    token = {"access_token": "token", "expires_in": 3600}
    bank = await new_bank((200, token), (200, payment()))
    async with bank.client(client_id="me", client_secret="s3cret") as lead:
        await send(lead)
        with counting_calls() as calls:
            await send(lead)
    assert len(calls) <= MAX_CALLS, calls
    assert len(calls.files) <= MAX_FILES, calls.files

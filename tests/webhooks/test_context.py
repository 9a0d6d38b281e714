"""What a handler finds in its context, and how it says what to do with an event."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from leadpay.errors import ConfigurationError
from leadpay.models import Event
from leadpay.webhooks.context import Context, Defer, Discard

MakeEvent = Callable[..., Any]


def context_of(event: Event, **kwargs: Any) -> Context[Any, Any]:
    return Context(event=event, received_at=datetime(2024, 3, 1, tzinfo=UTC), **kwargs)


@pytest.mark.asyncio
async def test_a_context_gives_what_the_receiver_was_given(make_event: MakeEvent) -> None:
    """Client, state and transaction are there, refresh() asks the bank, and nothing private is in the repr."""

    async def retrieve(payment_id: str) -> str:
        return f"latest {payment_id}"

    client: Any = SimpleNamespace(instant_payments=SimpleNamespace(retrieve=retrieve), token="hush")
    context = context_of(make_event(), client=client, state="hush", transaction="hush")
    assert (context.client, context.state, context.transaction) == (client, "hush", "hush")
    assert str(await context.refresh()) == "latest instant_payment_out1"
    assert "hush" not in repr(context)
    assert (context.attempt, context.is_stale) == (1, False)


@pytest.mark.asyncio
async def test_a_context_says_what_is_missing(make_event: MakeEvent) -> None:
    """The transaction needs an inbox, the client must be given, and a refresh needs a payment too."""
    with pytest.raises(ConfigurationError, match="needs an inbox"):
        _ = context_of(make_event()).transaction
    with pytest.raises(ConfigurationError, match=r"context\.client needs a client"):
        _ = context_of(make_event()).client
    with pytest.raises(ConfigurationError, match=r"context\.client needs a client"):
        await context_of(make_event()).refresh()
    with pytest.raises(ConfigurationError, match="about an instant payment"):
        await context_of(make_event("ach.posted")).refresh()
    assert context_of(make_event()).state is None


@pytest.mark.asyncio
async def test_a_transaction_of_ones_own_needs_an_inbox(make_event: Any) -> None:
    """And nothing of the block is run without one."""
    entered = False
    with pytest.raises(ConfigurationError, match=r"context\.complete_in needs an inbox"):
        async with context_of(make_event()).complete_in(object()):
            entered = True
    assert not entered


def test_a_context_can_be_annotated_with_its_types() -> None:
    """One type for the state, or two with the transaction's: at run time it is the same class."""
    classes: list[Any] = [Context[int], Context[int, str]]
    assert classes == [Context, Context]


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan")])
def test_a_deferral_needs_a_time(seconds: float) -> None:
    """The seconds must be a number that is not negative, and not infinite."""
    with pytest.raises(ValueError, match="number of seconds"):
        Defer(seconds)


def test_instructions_hold_what_they_were_given() -> None:
    """A deferral has its seconds, and a discard its reason."""
    assert (Defer(5).seconds, str(Defer(5))) == (5, "deferred for 5 s")
    assert Discard("not ours").reason == str(Discard("not ours")) == "not ours"

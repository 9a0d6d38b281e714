"""Which changes of a payment are allowed, for each of its states."""

from collections.abc import Callable
from typing import Any

import pytest

from leadpay.sandbox import transitions
from leadpay.sandbox.models import Payment, Reason
from leadpay.sandbox.problems import ApiProblem
from tests.sandbox.test_models import NOW, make_payment

DUPLICATION = Reason("duplication")
PENDING = (transitions.outgoing_request(DUPLICATION, NOW),)
NEEDED = (transitions.incoming_request(DUPLICATION, NOW),)
RETURN = {"return_": DUPLICATION}
IN: dict[str, Any] = {"direction": "incoming"}


@pytest.mark.parametrize(
    ("check", "allowed", "refused"),
    [
        (
            transitions.check_cancel,
            [{"status": "created"}, {"status": "under_review"}],
            [({}, 422), ({"status": "canceled"}, 422), (IN, 400), (RETURN, 400)],
        ),
        (
            lambda payment: transitions.check_return(payment, 0),
            [IN],
            [({}, 422), ({**IN, "status": "rejected"}, 422), ({**IN, **RETURN}, 422)],
        ),
        (
            lambda payment: transitions.check_outgoing_request(payment, 0),
            [{}, {"amount": 0}],
            [
                (IN, 422),
                ({"status": "created"}, 422),
                (RETURN, 422),
                ({"return_requests": PENDING}, 409),
                ({"counterparty_status": "rejected"}, 422),
            ],
        ),
        (
            lambda payment: transitions.check_request_rejection(payment, 0),
            [{**IN, "return_requests": NEEDED}],
            [(IN, 422), ({"return_requests": PENDING}, 422)],
        ),
        (
            lambda payment: transitions.check_incoming_return(payment, 5000, 0),
            [{}],
            [(IN, 422), ({"status": "created"}, 422), (RETURN, 422), ({"amount": 4999}, 422)],
        ),
        (
            lambda payment: transitions.check_incoming_request(payment, 0),
            [IN],
            [
                ({}, 422),
                ({**IN, "status": "rejected"}, 422),
                ({**IN, **RETURN}, 422),
                ({**IN, "return_requests": NEEDED}, 422),
            ],
        ),
        (
            transitions.check_resolution,
            [{"return_requests": PENDING}],
            [({}, 422), ({**IN, "return_requests": NEEDED}, 422)],
        ),
    ],
)
def test_each_change_needs_its_state(
    check: Callable[[Payment], None], allowed: list[dict[str, Any]], refused: list[tuple[dict[str, Any], int]]
) -> None:
    """Any other state is refused with the bank's status."""
    for fields in allowed:
        check(make_payment(**fields))
    for fields, status in refused:
        with pytest.raises(ApiProblem) as caught:
            check(make_payment(**fields))
        assert caught.value.status == status


@pytest.mark.parametrize(
    "check",
    [
        lambda: transitions.check_return(make_payment(**IN), 1),
        lambda: transitions.check_outgoing_request(make_payment(), 5000),
        lambda: transitions.check_request_rejection(make_payment(**IN, return_requests=NEEDED), 1),
        lambda: transitions.check_incoming_return(make_payment(), 4000, 1001),
        lambda: transitions.check_incoming_request(make_payment(**IN), 1),
    ],
)
def test_what_was_returned_is_not_returned_again(check: Callable[[], None]) -> None:
    """Neither by a return nor by a request for one."""
    with pytest.raises(ApiProblem) as caught:
        check()
    assert caught.value.status == 422


def test_a_resolution_ends_the_last_request_only() -> None:
    """Earlier requests do not change."""
    first = transitions.resolved(NEEDED, "rejected", "client", NOW, Reason("narrative", "No"))
    both = transitions.resolved((*first, *NEEDED), "accepted", "client", NOW)
    assert both[0] == first[0]
    assert [one.status for one in both] == ["rejected", "accepted"]
    assert both[0].resolution is not None
    assert (both[0].resolution.rejection_reason, both[0].resolution.rejection_details) == ("narrative", "No")

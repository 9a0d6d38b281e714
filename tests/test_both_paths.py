"""The fast path and the plain converter give the same models, and refuse the same for the same reasons."""

import json
from collections.abc import Callable
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from leadpay.converter import _structure_plainly, read, structure, unstructure
from leadpay.errors import MalformedResponseError
from leadpay.fastpath import from_data, from_json
from leadpay.models import InstantPayment, Model
from tests.support.payments import FULL, PAYMENTS, as_meant

words = st.text(max_size=8)
stamps = st.sampled_from(
    ["2022-06-27T11:22:33Z", "2022-06-27T11:22:33.123456+00:00", "2022-07-11T23:30:00-04:00", "2024-02-29T00:00:00.5Z"]
)
extras = st.dictionaries(
    st.sampled_from(["accepted_amount", "return_", "new", "_unknown_fields", "unknown_fields"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | words, lambda inner: st.lists(inner, max_size=3), max_leaves=4
    ),
    max_size=2,
)


def record(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Make objects whose optional fields may be missing or null, with fields that nobody knows."""
    maybe = {name: st.none() | strategy for name, strategy in optional.items()}
    return st.builds(lambda known, extra: {**extra, **known}, st.fixed_dictionaries(required, optional=maybe), extras)


reasons = (
    st.sampled_from(["duplicate", "duplication", "fraudulent", "not_justified", "unknown_sender", "other"]) | words
)
party = record({"name": words, "account_number": words}, {})
agent = record({"routing_number": words}, {})
resolution = record(
    {"resolved_at": stamps, "resolved_by": words}, {"rejection_reason": reasons, "rejection_details": words}
)
return_request = record(
    {"status": words | st.just("pending"), "reason": reasons, "created_at": stamps},
    {"details": words, "deadline": stamps, "resolution": resolution},
)
payments = record(
    {
        **dict.fromkeys(("id", "account_id", "account_number_id", "direction", "currency_code"), words),
        "status": st.sampled_from(["posted", "created", "frozen"]),
        "amount": st.integers(0, 2**63 - 1),
        **dict.fromkeys(("debtor", "creditor"), party),
        **dict.fromkeys(("debtor_agent", "creditor_agent"), agent),
        "payment_identifiers": record({}, dict.fromkeys(("end_to_end_id", "uetr", "transaction_id"), words)),
        "related_objects": record(
            {}, {"original_payment_id": words, "return_payment_ids": st.lists(words, max_size=2)}
        ),
        "return_requests": st.lists(return_request, max_size=2),
        **dict.fromkeys(("created_at", "updated_at"), stamps),
    },
    {
        "counterparty_status": words,
        "description": words,
        "rejection": record({"rejected_by": words, "reason": reasons}, {"details": words}),
        "return": record({"reason": reasons}, {"details": words}),
    },
)


@settings(max_examples=300, deadline=None)
@given(data=payments)
def test_generated_payments_round_trip_on_both_paths(data: dict[str, Any]) -> None:
    """Whatever is valid is read alike by both paths, and comes back out as it was meant."""
    payment = _structure_plainly(data, InstantPayment)
    assert from_data(InstantPayment)(data) == payment
    assert read(json.dumps(data).encode(), InstantPayment) == payment
    assert as_meant(unstructure(payment)) == as_meant(data)
    assert structure(unstructure(payment), InstantPayment) == payment


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the way to every value within."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def replaced(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Copy data with one value replaced."""
    if not path:
        return value
    copy = data.copy()
    copy[path[0]] = replaced(data[path[0]], path[1:], value)
    return copy


junk: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", "2022-06-27", "2022-06-27T00:00:00", [], [None], {}, b"x", 10**30]
)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(PAYMENTS)), value=junk)
def test_both_paths_refuse_the_same_for_the_same_reasons(data: Any, name: str, value: Any) -> None:
    """One value replaced by junk anywhere: the fast path and the plain one give the same model or the same problems."""
    place = data.draw(st.sampled_from(places(PAYMENTS[name])))
    mutated = replaced(PAYMENTS[name], place, value)

    def outcome(read: Callable[[Any, type[Model]], Any]) -> Any:
        try:
            return read(mutated, InstantPayment)
        except MalformedResponseError as error:
            return error.problems

    def quick(read: Callable[[Any], InstantPayment], source: Any, *, takes_all: bool) -> Any:
        try:
            return read(source)
        except Exception:  # noqa: BLE001 - how it gives way is its own affair
            refused = isinstance(plain, tuple)
            assert refused or not (takes_all or is_all_known(plain)), "a fast path refused what the plain one takes"
            return plain

    plain = outcome(_structure_plainly)
    assert outcome(structure) == plain
    assert quick(from_data(InstantPayment), mutated, takes_all=True) == plain
    assert quick(from_json(InstantPayment), as_json(mutated), takes_all=False) == plain


def as_json(data: Any) -> bytes:
    """Write data as JSON, with something that no field takes for what JSON doesn't have."""
    return json.dumps(data, default=lambda _: 1.5).encode()


def is_all_known(one: Any) -> bool:
    """Tell whether a model holds no unknown field, nor any model within."""
    if isinstance(one, tuple):
        return all(map(is_all_known, one))
    if not isinstance(one, Model):
        return True
    return not one.unknown_fields and all(is_all_known(getattr(one, field.name)) for field in attrs.fields(type(one)))


def test_what_is_known_is_read_without_the_plain_converter() -> None:
    """JSON without unknown fields takes the fastest path, and data always takes a fast one."""
    exact = {name: data for name, data in PAYMENTS.items() if is_all_known(structure(data, InstantPayment))}
    assert FULL in exact
    for name, data in PAYMENTS.items():
        plain = _structure_plainly(data, InstantPayment)
        assert from_data(InstantPayment)(data) == plain
        if name in exact:
            assert from_json(InstantPayment)(json.dumps(data).encode()) == plain

"""What handlers have done, as a difference."""

from datetime import UTC, datetime

from leadpay.exam.observed import describe_difference, effects


def test_effects_are_what_was_added_with_ids_replaced() -> None:
    """Two runs with IDs of their own have equal effects, whatever was there before."""
    first = effects(
        {"rows": [], "total": 0, "state": {}}, {"rows": [("p1", 5)], "total": 5, "state": {"p1": "paid"}}, ["p1"]
    )
    second = effects(
        {"rows": [("p1", 5)], "total": 5, "state": {"p1": "paid"}},
        {"rows": [("p1", 5), ("p22", 5)], "total": 10, "state": {"p1": "paid", "p22": "paid"}},
        ["p22", "p2"],
    )
    assert first == second
    assert first == {"rows[[5]=1, [<id 0>]=1]": 1, "total (a number)": 5, "state.<id 0>=paid": 1}


def test_times_booleans_and_sets_count_once() -> None:
    """A time is some time; a bool is no number; the order of a set does not matter."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert effects(None, {"at": now, "flag": True, "names": {"a", "b"}}, []) == {
        "=None": -1,
        "at=<time>": 1,
        "flag=True": 1,
        "names[a]": 1,
        "names[b]": 1,
    }


def test_a_difference_is_described_in_a_line() -> None:
    """The first three of it."""
    plain = effects([], ["a"], [])
    other = effects([], ["a", "a", "b", "c", "d"], [])
    assert describe_difference(plain, other) == "+1 of [a]; +1 of [b]; +1 of [c]; ..."
    assert describe_difference(other, plain) == "-1 of [a]; -1 of [b]; -1 of [c]; ..."
    assert describe_difference(plain, plain) == ""

"""Whatever the bank sends in another way, no event is lost, no list is blinded, and no money is misread."""

import os

import pytest

from tests.support.mutations import SURFACES, Case, cases, outcome

STEP = 1 if os.environ.get("LEADPAY_PROOFS") == "all" else 61
"""By default a sample of the cases, whose distance is a prime, so that it has every kind and every field."""

CASES = cases()[::STEP]


@pytest.mark.asyncio
@pytest.mark.parametrize("surface", SURFACES)
async def test_a_mutation_costs_only_itself(surface: str) -> None:
    """Each is read, or is kept as unreadable, or ends in an error of ours; and its neighbours are delivered."""
    for case in CASES:
        found = await outcome(surface, case)
        assert found, _name(case)


def test_the_sample_has_every_kind() -> None:
    """Also of the smallest size."""
    assert {case.kind for case in CASES} == {case.kind for case in cases()}


def _name(case: Case) -> str:
    return f"{case.sample} {case.path} {case.kind}"

"""A bank in process for every test that asks for one."""

import pytest

from tests.pretending.desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()

"""A bank in process for every test that asks for one."""

import pytest

from tests.sandbox.desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()

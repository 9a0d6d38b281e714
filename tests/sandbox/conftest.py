"""A bank in process."""

import pytest

from tests.support.api_client import ApiClient


@pytest.fixture
def api() -> ApiClient:
    return ApiClient()

"""Fixtures: a hub for each test that asks for one."""
import pytest

from gang import Hub


@pytest.fixture
def hub():
    started = Hub()
    yield started
    started.close()

"""Fixtures for tests that need the kernel: a veth pair in namespaces of its own, gone after each test."""

from collections.abc import Iterator

import pytest
from netns import Veth, veth_pair


@pytest.fixture
def veth() -> Iterator[Veth]:
    """A pair with IPv4 and IPv6 addresses."""
    with veth_pair() as pair:
        yield pair


@pytest.fixture
def silent_veth() -> Iterator[Veth]:
    """A pair on which there is nothing but what the test sends raw."""
    with veth_pair(silent=True) as pair:
        yield pair

"""Which tests can run here, and where their runs keep what they leave."""

import os
import tempfile
from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import HealthCheck
from places import CORPORA

# The same examples each time, and none that fails for how long it takes: what CI says of a commit it says twice. `make soak` has others.
hypothesis.settings.register_profile(
    "calm", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
hypothesis.settings.register_profile("same", hypothesis.settings.get_profile("calm"), derandomize=True)
hypothesis.settings.register_profile("others", hypothesis.settings.get_profile("calm"), max_examples=5000)
hypothesis.settings.load_profile("same")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what reads the corpora where there are none; `make test` says at its end how many that were."""
    if not CORPORA.is_dir():
        without = pytest.mark.skip(reason=f"there are no captures in {CORPORA}")
        for item in items:
            if item.get_closest_marker("corpora"):
                item.add_marker(without)


@pytest.fixture(scope="session", autouse=True)
def state_directory() -> Iterator[None]:
    """Runs that a test kills leave it there, and not where this machine's own would."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STATE_DIRECTORY"] = folder
        yield
        del os.environ["STATE_DIRECTORY"]

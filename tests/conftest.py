"""The real service in a real process over TLS on loopback, for every test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from log_support import failures
from tests_support import ON_POSTGRES, Live, launch, make_instance

# The same examples in every run, and no clock: on a slow machine an example may take its time.
settings.register_profile(
    "sure", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("sure")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service of the module's own. What its log holds at the end must not betray anything."""
    base = tmp_path_factory.mktemp("live")
    directory = base / "instance"
    fingerprints = make_instance(directory)
    log = base / "service.log"
    process, url = launch(directory, log)
    running = Live(url, directory, directory / "operator.toml", fingerprints, process, log)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            assert running.stop() == 0
        assert "Traceback" not in failures(log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if ON_POSTGRES:
        for item in items:
            if item.get_closest_marker("files"):
                item.add_marker(pytest.mark.skip(reason="works on the files of a SQLite store"))

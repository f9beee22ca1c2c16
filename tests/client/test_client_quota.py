"""A quota of the day at the real service: the client says so at once, and a job says what to do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_support import launch, make_instance, ok, run_cli, stay_within_a_day

from trustcenter.client import Connection, RemoteError, TrustCenter


@pytest.fixture
def north(tmp_path: Path) -> Iterator[Path]:
    """The connection file of a site that may have fifty new pseudonyms a day."""
    stay_within_a_day(120)
    directory = tmp_path / "center"
    make_instance(directory)
    with (directory / "config.toml").open("a") as config:
        config.write("\n[limits]\nnew_per_day = 50\n")
    process, _ = launch(directory, tmp_path / "log")
    try:
        operator = ("--connect", directory / "operator.toml")
        for command in (
            ("site", "add", "north"),
            ("domain", "create", "north", "--site", "north"),
            ("site", "token", "north", "-o", tmp_path / "north.toml"),
        ):
            ok(*command, *operator)
        yield tmp_path / "north.toml"
    finally:
        process.terminate()
        process.wait(60)


async def test_a_quota_that_is_used_up_fails_at_once_with_the_services_answer(north: Path, tmp_path: Path) -> None:
    async with TrustCenter(Connection.load(north)) as center:
        assert (await center.pseudonymize("north", [f"p{i}" for i in range(50)])).created == 50
        started = time.monotonic()
        with pytest.raises(RemoteError) as caught:
            await center.pseudonymize("north", ["one more"])
        assert time.monotonic() - started < center.settings.retry_for, "not after the time for retries"
        error = caught.value
        assert (error.code, error.status) == ("quota_exceeded", 429)
        assert error.retry_after > center.settings.retry_for or error.retry_after == 0
        assert (await center.pseudonymize("north", ["p1"])).created == 0
    source = tmp_path / "in.csv"
    source.write_text("pid\n" + "".join(f"q{i}\n" for i in range(10)))
    done = run_cli(
        *("pseudonymize", source, "--column", "pid", "--domain", "north", "-o", tmp_path / "out.csv"),
        *("--connect", north),
    )
    assert (done.returncode, "[quota_exceeded]" in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "out.csv").exists()


def test_the_client_needs_nothing_of_the_service() -> None:
    code = (
        "import sys, trustcenter.client.tables, trustcenter.client.jobs.bulk, trustcenter.client.fhir.job\n"
        "import trustcenter.client.reidentify, trustcenter.client.sync\n"
        "light = {'linkage', 'linkage.separator', 'linkage.wording'}  # how text is read and written, in a few lines\n"
        "heavy = {'numpy', 'numba', 'pyarrow', 'sqlite3', 'structlog', 'psycopg', 'keys',"
        " 'trustcenter.store', 'trustcenter.http', 'trustcenter.registrar'}\n"
        "print(*sorted(m for m in sys.modules if m in heavy or (m.startswith('linkage') and m not in light)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""

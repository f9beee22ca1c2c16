"""Generated requests from the service's own description: no 500, no undocumented answer, no hang."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance,status_code_conformance"


def fuzz(world, caller: str, examples: int, *more: str) -> str:
    live = world.live
    done = subprocess.run(
        [
            Path(sys.executable).parent / "schemathesis", "run", f"{live.url}/openapi.json", "--url", live.url,
            "--tls-verify", live.dir / "tls" / "ca.pem",
            "-H", f"Authorization: Bearer {world[caller]._token}",
            "--checks", CHECKS, "--phases", "coverage,fuzzing", "--max-examples", str(examples),
            "--request-timeout", "120", "--no-color", *more,
        ],
        capture_output=True, text=True, timeout=3600, env={**os.environ, "SCHEMATHESIS_TELEMETRY": "0"},
        cwd=live.dir,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert '"event": "unexpected"' not in live.log.read_text()
    return done.stdout


@pytest.mark.parametrize("caller", ["operator", "north"])
def test_generated_requests_find_nothing(world, caller: str) -> None:
    assert "passed" in fuzz(world, caller, 1, "--seed", "20261128", "--generation-deterministic")


@pytest.mark.soak
@pytest.mark.parametrize("caller", ["operator", "north", "anna", "clara"])
def test_many_generated_requests_find_nothing(world, caller: str) -> None:
    print(fuzz(world, caller, int(os.environ.get("FUZZ_EXAMPLES", "300")))[-400:])

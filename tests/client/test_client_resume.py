"""A job that is killed goes on, and its output is what it would have been."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client_support import Pseudonyms

from trustcenter.client import TrustCenter, UnreachableError
from trustcenter.client.errors import LocalFileError
from trustcenter.client.settings import Settings
from trustcenter.client.tables import ColumnJob, ColumnResult, pseudonymize_column
from trustcenter.errors import ConflictError

Rogue = Any
SMALL = Settings(batch=50, concurrency=2, checkpoint_every=0.0, retry_for=0.2, backoff=0.01)
# What a child process runs: the same job as in this process, with small batches and many checkpoints.
CHILD = """
import asyncio, sys
from pathlib import Path
from trustcenter.client import Connection, TrustCenter
from trustcenter.client.settings import Settings
from trustcenter.client.tables import ColumnJob, pseudonymize_column

async def main(connection, source, target, failed, resume):
    job = ColumnJob(Path(source), Path(target), "PID", failed=Path(failed), resume=bool(resume))
    settings = Settings(batch=50, concurrency=2, checkpoint_every=0.0)
    async with TrustCenter(Connection.load(Path(connection)), settings) as center:
        await pseudonymize_column(center, "north", job)

asyncio.run(main(*sys.argv[1:]))
"""


def make_source(path: Path, rows: int, different: int = 1500) -> Path:
    lines = [f'{"bad-" if i % 97 == 0 else ""}{i % different};"text ""{i}""\nmore";ä{i}\r\n' for i in range(rows)]
    path.write_bytes(("\ufeffPID;NOTE;X\r\n" + "".join(lines)).encode())
    return path


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def run(rogue: Rogue, source: Path, target: Path, **more: Any) -> ColumnResult:
    settings = more.pop("settings", SMALL)
    job = ColumnJob(source, target, "PID", failed=target.with_name("failed.csv"), **more)
    async with TrustCenter(rogue.connection, settings) as center:
        return await pseudonymize_column(center, "north", job)


@pytest.fixture
def connection_file(rogue: Rogue, tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    lines = [f"{name} = {json.dumps(getattr(rogue.connection, name))}" for name in ("url", "ca", "token", "site")]
    path.write_text("\n".join(lines))
    path.chmod(0o600)
    return path


async def test_a_killed_client_goes_on_and_the_output_is_the_same(
    rogue: Rogue, connection_file: Path, tmp_path: Path
) -> None:
    import asyncio

    service = Pseudonyms(delay=0.01)
    rogue.handler = service.handle
    source = make_source(tmp_path / "in.csv", 6000, different=6000)
    plain, broken = tmp_path / "plain", tmp_path / "broken"
    plain.mkdir()
    broken.mkdir()
    expected = await run(rogue, source, plain / "out.csv")
    asked_by_one_run, service.asked = service.asked, 0
    sidecar = broken / ".out.csv.resume"
    last = 0
    for resume in ("", "1", "1"):
        arguments = [connection_file, source, broken / "out.csv", broken / "failed.csv", resume]
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, *map(str, arguments))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            await asyncio.sleep(0.02)
            if sidecar.exists() and (now := json.loads(sidecar.read_bytes())["row"]) > last + 300:
                break
        child.send_signal(signal.SIGKILL)
        await child.wait()
        last = now
        assert set(files(broken)) - {".out.csv.resume.new"} == {
            *(".failed.csv.partial", ".out.csv.partial", ".out.csv.resume")
        }
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in broken.iterdir())
    assert 900 < last < 6000
    result = await run(rogue, source, broken / "out.csv", resume=True)
    assert result.resumed >= last
    assert (result.rows, result.failed) == (expected.rows, expected.failed)
    assert files(broken) == files(plain) == ["failed.csv", "out.csv"]
    for name in ("out.csv", "failed.csv"):
        assert (broken / name).read_bytes() == (plain / name).read_bytes()
    assert service.asked < asked_by_one_run * 1.5, "the work before the checkpoints was done again"


async def interrupted(rogue: Rogue, tmp_path: Path) -> tuple[Pseudonyms, Path, Path]:
    """A job that lost its service half way."""
    service = Pseudonyms()
    service.break_after = 1000
    rogue.handler = service.handle
    source, target = make_source(tmp_path / "in.csv", 3000), tmp_path / "out.csv"
    with pytest.raises(UnreachableError) as caught:
        await run(rogue, source, target)
    assert "--resume" in caught.value.hint
    service.break_after = None
    return service, source, target


async def test_the_sidecar_names_nobody(rogue: Rogue, tmp_path: Path) -> None:
    _, source, target = await interrupted(rogue, tmp_path)
    state = json.loads((tmp_path / ".out.csv.resume").read_bytes())
    assert set(state) == {
        *("format", "job", "position", "read", "written", "digests", "row", "rows", "created", "versions"),
        *("failed", "failures", "nonce", "counts", "mac"),
    }
    assert state["failed"][0] == [1, "invalid_original", "h", ""]
    import hashlib

    plain = hashlib.sha256(source.read_bytes()[: state["position"]]).hexdigest()
    assert plain not in json.dumps(state), "a digest that anybody could compute can be searched"
    assert source.read_bytes()[: state["position"]].endswith(b"\r\n")
    assert not target.exists()


def _change(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


CHANGES: dict[str, Callable[[Path], object]] = {
    "the input": lambda d: _change(d / "in.csv", 23),
    "a shorter input": lambda d: make_source(d / "in.csv", 20),
    "the partial output": lambda d: _change(d / ".out.csv.partial", 30),
    "a partial output cut off": lambda d: (d / ".out.csv.partial").write_bytes(b""),
    "no partial output": lambda d: (d / ".out.csv.partial").unlink(),
    "no file of failed rows": lambda d: (d / ".failed.csv.partial").unlink(),
    "the sidecar": lambda d: (d / ".out.csv.resume").write_bytes(
        (d / ".out.csv.resume").read_bytes().replace(b'"rows":', b'"rows":1')
    ),
    "a damaged sidecar": lambda d: (d / ".out.csv.resume").write_bytes(b"{"),
    "open permissions": lambda d: (d / ".out.csv.partial").chmod(0o644),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_was_changed_is_not_gone_on_with(
    rogue: Rogue, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    _, source, target = await interrupted(rogue, tmp_path)
    change(tmp_path)
    before = files(tmp_path)
    with pytest.raises(LocalFileError) as caught:
        await run(rogue, source, target, resume=True)
    assert caught.value.code == "cannot_resume"
    assert "without --resume" in caught.value.hint
    assert files(tmp_path) == before
    await run(rogue, source, target)
    assert files(tmp_path) == ["failed.csv", "in.csv", "out.csv"]


async def test_other_options_are_not_gone_on_with(rogue: Rogue, tmp_path: Path) -> None:
    _, source, target = await interrupted(rogue, tmp_path)
    with pytest.raises(LocalFileError) as caught:
        await run(rogue, source, target, resume=True, into="PSN")
    assert caught.value.code == "cannot_resume"
    result = await run(rogue, source, target, resume=True)
    assert (result.rows, result.resumed > 0) == (3000, True)


async def test_two_runs_do_not_write_one_output(rogue: Rogue, tmp_path: Path) -> None:
    import asyncio

    rogue.handler = Pseudonyms(delay=0.05).handle
    source, target = make_source(tmp_path / "in.csv", 500), tmp_path / "out.csv"
    first = asyncio.create_task(run(rogue, source, target))
    while not (tmp_path / ".out.csv.partial").exists():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.01)
    for resume in (False, True):
        with pytest.raises(LocalFileError) as caught:
            await run(rogue, source, target, resume=resume)
        assert caught.value.code == "output_busy"
    assert (await first).rows == 500
    assert files(tmp_path) == ["failed.csv", "in.csv", "out.csv"]


async def test_without_anything_to_go_on_with_it_starts_at_the_beginning(rogue: Rogue, tmp_path: Path) -> None:
    rogue.handler = Pseudonyms().handle
    source = make_source(tmp_path / "in.csv", 200)
    result = await run(rogue, source, tmp_path / "out.csv", resume=True)
    assert (result.rows, result.resumed) == (200, 0)


async def test_a_key_turned_half_way_is_not_mixed_into_one_output(rogue: Rogue, tmp_path: Path) -> None:
    service, source, target = await interrupted(rogue, tmp_path)
    service.version = 2
    with pytest.raises(ConflictError) as caught:
        await run(rogue, source, target, resume=True)
    assert caught.value.code == "rotated_meanwhile"
    assert not target.exists()
    assert (await run(rogue, source, target)).key_version == 2


async def test_a_failed_job_leaves_nothing_although_it_had_checkpoints(rogue: Rogue, tmp_path: Path) -> None:
    rogue.handler = Pseudonyms().handle
    source = tmp_path / "in.csv"
    source.write_text("PID;A\n" + "".join(f"{i};x\n" for i in range(1000)) + f"{'x' * 2**22};\n")
    with pytest.raises(LocalFileError) as caught:
        await run(rogue, source, tmp_path / "out.csv")
    assert (caught.value.code, caught.value.where) == ("bad_row", "after row 1000")
    assert files(tmp_path) == ["in.csv"]


def test_the_command_takes_charset_and_resume(connection_file: Path, tmp_path: Path) -> None:
    source = make_source(tmp_path / "in.csv", 10)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "trustcenter", "pseudonymize", source, "--column", "PID", "--domain", "north"),
            *("-o", tmp_path / "out.csv", "--resume", "--encoding", "latin-1", "--connect", connection_file),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "[bad_encoding]" in done.stderr

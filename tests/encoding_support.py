"""An encoding in a working directory, and the same in a process that kills itself at a given step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from linkage import Secrets, load_schema, prepare
from linkage.encode import encode_pieces
from linkage.synth import SiteSpec, SynthConfig, generate

SCHEMA = load_schema("de-person/1")
HEADER = {"study": "s", "version": 1, "source": "a", "fingerprint": SCHEMA.fingerprint, "passes": SCHEMA.P}
SECRETS = Secrets(b"\x07" * 32, bytes(range(32)), "s", 1)
SIZES = (90, 0, 80, 70)
STEPS = len(SIZES) + 256  # it is told of each piece, and then of each part that is sorted
Columns = dict[str, list[str]]


def people() -> tuple[Columns, list[str]]:
    """Columns and ids of a small source, the same in every process."""
    made = generate(SynthConfig("kept", (SiteSpec("a", sum(SIZES)),), overlap=0.0)).sites["a"]
    return {k: list(v) for k, v in made.columns.items() if k in SCHEMA.columns}, list(made.ids)


def _pieces(columns: Columns, ids: list[str], sizes: Sequence[int]) -> Iterator[tuple[list[str], Any]]:
    start = 0
    for size in sizes:
        part = {name: values[start : start + size] for name, values in columns.items()}
        yield ids[start : start + size], prepare(SCHEMA, part)
        start += size


def encoding(
    source: tuple[Columns, list[str]],
    folder: Path,
    work: Path | None,
    *,
    secrets: Secrets = SECRETS,
    header: dict[str, str | int] = HEADER,
    sizes: Sequence[int] = SIZES,
    progress: Callable[[int, int], None] | None = None,
) -> list[tuple[str, bytes]]:
    """Encode into a folder, in the working directory `work`; ids and record numbers as they were handed out."""
    folder.mkdir(exist_ok=True)
    seen: list[tuple[str, bytes]] = []
    encode_pieces(
        SCHEMA,
        _pieces(*source, sizes),
        secrets,
        folder / "rows",
        folder / "map",
        header,
        each=lambda ids, numbers: seen.extend(zip(ids, map(bytes, numbers), strict=True)),
        work=work,
        progress=progress,
    )
    return seen


def killed(folder: Path, work: Path, step: int) -> None:
    """Encode in another process, which kills itself when it is told of this step, from 1."""
    words = [sys.executable, __file__, str(folder), str(work), str(step)]
    done = subprocess.run(
        words, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    )
    assert done.returncode == -signal.SIGKILL


def _main(folder: Path, work: Path, step: int) -> None:
    told: list[int] = []

    def die(done: int, total: int) -> None:
        told.append(done)
        if len(told) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    encoding(people(), folder, work, progress=die)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))

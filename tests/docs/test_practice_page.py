"""The page on practices runs as it stands there; no name of a patient is anywhere but in the export."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests_support import Live, ok

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "practice.md"
PLACEHOLDER = "4J2J-LU58-RLV8-7JVN-YHRA"
CANARIES = ("Qanariensurname", "Qanariengiven", "Qanariengasse", "Qanarienhausen")
PATIENTS = 60

AS_ON_WINDOWS = """
import asyncio, builtins, multiprocessing, os, shutil, signal, subprocess, sys, tempfile

ABSENT = {"fcntl", "grp", "pwd", "resource", "termios", "tty", "syslog", "crypt"}
OURS = {"keys", "linkage", "trustcenter"}
original = builtins.__import__


def guarded(name, scope=None, *rest, **more):
    if name.partition(".")[0] in ABSENT and (scope or {}).get("__name__", "").partition(".")[0] in OURS:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return original(name, scope, *rest, **more)


builtins.__import__ = guarded
for name in ("O_NOFOLLOW", "O_DIRECTORY", "O_CLOEXEC", "fchmod", "chown", "fchown", "geteuid", "getuid", "getgid",
             "getegid", "mkfifo", "sched_getaffinity", "setsid", "fork", "forkpty", "killpg", "sysconf"):
    delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGCHLD", "pthread_sigmask", "setitimer"):
    delattr(signal, name)


def unsupported(*_):
    raise NotImplementedError


asyncio.SelectorEventLoop.add_signal_handler = unsupported


def only_closed(change):
    # A file that is open is neither renamed, nor replaced, nor deleted.
    def changed(*paths, **more):
        real = {os.path.realpath(path) for path in paths if isinstance(path, (str, os.PathLike))}
        for number in os.listdir("/proc/self/fd"):
            try:
                opened = os.readlink("/proc/self/fd/" + number)
            except OSError:
                continue
            if opened in real:
                raise PermissionError(13, "another process has the file open")
        return change(*paths, **more)

    return changed


for name in ("replace", "rename", "unlink", "remove"):
    setattr(os, name, only_closed(getattr(os, name)))
"""


def commands() -> list[list[str]]:
    """The commands of the page, in order."""
    blocks = re.findall(r"```\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [shlex.split(line) for text in blocks for line in text.replace("\\\n", " ").splitlines()]


def bdt(first: int, last: int) -> bytes:
    """A BDT file of made-up patients."""

    def line(field: str, content: str) -> bytes:
        raw = content.encode("cp437")
        return f"{len(raw) + 9:03d}{field}".encode() + raw + b"\r\n"

    lines = [line("8000", "0020"), line("9106", "2")]
    for at in range(first, last):
        surname = f"{CANARIES[0]}{chr(97 + at % 26)}ü{chr(97 + at // 26)}"
        fields = [("8000", "6100"), ("3000", str(at)), ("3101", surname),
                  ("3102", CANARIES[1]), ("3103", f"{at % 28 + 1:02d}{at % 12 + 1:02d}{1930 + at}"), ("3110", "W"),
                  ("3107", f"{CANARIES[2]} {at}"), ("3106", f"{10115 + at} {CANARIES[3]}")]  # fmt: skip
        lines += [line(*pair) for pair in fields]
    return b"".join(lines)


@pytest.fixture
def folder(live: Live, tmp_path: Path) -> Path:
    """A folder with what operator, sponsor and practice have before the page begins."""
    connect = ("--connect", live.operator)
    for name in ("uk-nord", "uk-sued"):
        ok("site", "add", name, "--kind", "diz", *connect)
    ok("site", "token", "uk-nord", "-o", tmp_path / "uk-nord.toml", *connect)
    ok("recipient", "keygen", "-o", tmp_path / "dms.key", "--no-passphrase")
    public = ok("recipient", "keygen", "-o", tmp_path / "dms2.key", "--no-passphrase").strip()
    ok(
        *("study", "create", "herz-1", "--purpose", "p", "--permit", "q", "--schema", "de-person/1"),
        *("--site", "uk-nord", "--site", "uk-sued", "--recipient", f"dms={public}", *connect),
    )
    sponsor = ("--key", tmp_path / "own.key", "--connect", tmp_path / "uk-nord.toml")
    for command in (
        ("recipient", "keygen", "-o", tmp_path / "own.key", "--no-passphrase"),
        ("study", "secret", "card", "herz-1", *sponsor),
        ("study", "secret", "share", "herz-1", "--pinned-only", "--study-secret", tmp_path / "study.secret", *sponsor),
    ):
        ok(*command)
    (tmp_path / "operator.toml").symlink_to(live.operator)
    (tmp_path / "export.bdt").write_bytes(bdt(0, PATIENTS))
    (tmp_path / "gone.csv").write_text(f"id\n{PATIENTS - 1}\n", encoding="utf-8")
    (tmp_path / "tmp").mkdir()
    return tmp_path


def test_the_practice_page_runs(live: Live, folder: Path) -> None:
    said = PLACEHOLDER
    environment = {**os.environ, "NO_COLOR": "1", "TMPDIR": str(folder / "tmp")}
    environment.pop("TRUSTCENTER_CONNECT", None)

    (folder / "windows").mkdir()
    (folder / "windows" / "sitecustomize.py").write_text(AS_ON_WINDOWS, encoding="utf-8")

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        # What the practice runs finds nothing that Windows has not, as far as that can be taken away here.
        own = {"PYTHONPATH": str(folder / "windows")} if command[2] in ("enrol", "send", "results") else {}
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=folder, capture_output=True, text=True, timeout=100, env={**environment, **own},
        )  # fmt: skip

    printed = ""
    for command in commands():
        done = run(*[said if word == PLACEHOLDER else word for word in command])
        assert done.returncode == 0, (command, done.stderr)
        printed += done.stdout + done.stderr
        if command[2] == "enrol":
            said = done.stdout.strip()
            early = run("trustcenter", "practice", "send", "herz", "export.bdt")
            assert "[not_admitted]" in early.stderr
            wrong = run(
                *("trustcenter", "practice", "admit", "herz-1", "praxis-am-markt", "--fingerprint", PLACEHOLDER),
                *("--study-secret", "study.secret", "--key", "own.key", "--connect", "uk-nord.toml"),
            )
            assert (wrong.returncode, "[wrong_card]" in wrong.stderr) == (3, True)
            printed += early.stderr + wrong.stderr
    with (folder / "pseudonyms.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["id"] for row in rows] == [str(at) for at in range(PATIENTS)]
    assert len({row["pseudonym"] for row in rows}) == PATIENTS

    again = run("trustcenter", "practice", "send", "herz", "export.bdt", "--json")
    assert '"sent": 0' in again.stdout, (again.stdout, again.stderr)
    assert '"without_consent": 1' in again.stdout  # who withdrew is in the export still
    (folder / "export.bdt").write_bytes(bdt(0, PATIENTS + 1))
    few = run("trustcenter", "practice", "send", "herz", "export.bdt")
    assert (few.returncode, "[batch_too_small]" in few.stderr) == (4, True)
    ended = run("trustcenter", "practice", "revoke", "herz-1", "praxis-am-markt", "--connect", "uk-nord.toml")
    assert ended.returncode == 0, ended.stderr
    late = run("trustcenter", "practice", "results", "herz", "export.bdt", "-o", "late.csv")
    assert (late.returncode, "[access_ended]" in late.stderr) == (4, True)
    printed += again.stdout + again.stderr + few.stderr + late.stderr

    # Names are in the export and nowhere else: not printed, nor in the folder, in temporary files, or at the centre.
    assert not any(canary in printed for canary in CANARIES)
    for file in [*folder.rglob("*"), *live.dir.rglob("*"), live.log]:
        if file.is_file() and file.name != "export.bdt":
            content = file.read_bytes().lower()
            assert not any(canary.lower().encode() in content for canary in CANARIES), file.name
    secret = (folder / "study.secret").read_bytes().split(b"material: ")[1].split()[0]
    kept = [file for file in folder.rglob("*") if file.is_file() and secret in file.read_bytes()]
    assert [file.name for file in kept] == ["study.secret"]
    assert not list((folder / "tmp").iterdir())

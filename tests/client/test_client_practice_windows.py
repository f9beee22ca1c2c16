"""The practice's client imports nothing that Windows has not."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import builtins, sys
ABSENT = {"fcntl", "grp", "pwd", "resource", "termios", "tty", "syslog"}
original = builtins.__import__

def guarded(name, scope=None, *rest, **more):
    if name.partition(".")[0] in ABSENT and (scope or {}).get("__name__", "").partition(".")[0] in {
        "keys", "linkage", "trustcenter"
    }:
        raise ModuleNotFoundError(name)
    return original(name, scope, *rest, **more)

builtins.__import__ = guarded
import trustcenter.cli.practice.own
import trustcenter.client.practice.home
import trustcenter.client.practice.work
import trustcenter.client.study.study_results
import linkage.encode, linkage.normalise, linkage.schema
print(len([name for name in sys.modules if name.partition(".")[0] in {"keys", "linkage", "trustcenter"}]))
try:
    import trustcenter.client.jobs.resume
except ModuleNotFoundError:
    print("the guard works")
"""


def test_no_import_is_missing_on_windows() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    modules, guard = done.stdout.splitlines()
    assert int(modules) > 50
    assert guard == "the guard works"  # pipelines lock a file, practices do not

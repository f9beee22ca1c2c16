"""Directories as outputs: filled in one step, and what a killed process left goes with the next."""

import signal
import subprocess
import sys

import pytest

from trustcenter.client.errors import LocalFileError
from trustcenter.client.linking.folders import filling, require_directory

KILLED = """
import os, signal, sys
from pathlib import Path
from trustcenter.client.linking.folders import filling

with filling(Path(sys.argv[1])) as folder:
    (folder / "ids.csv").write_text("begun")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def begin_and_die(target):
    done = subprocess.run([sys.executable, "-c", KILLED, target], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("there", [True, False], ids=["an empty output", "a new output"])
def test_what_a_killed_process_left_is_no_output_and_goes(tmp_path, there):
    target = tmp_path / "out"
    if there:
        target.mkdir()
    begin_and_die(target)
    (left,) = tmp_path.rglob("ids.csv")
    require_directory(target)
    with filling(target) as folder:
        assert not left.exists()
        (folder / "ids.csv").write_text("whole")
    assert [path.name for path in target.iterdir()] == ["ids.csv"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_living_process_began_stays(tmp_path):
    target = tmp_path / "out"
    with filling(target, force=True) as first:
        (first / "ids.csv").write_text("first")
        with filling(target, force=True) as second:
            (second / "ids.csv").write_text("second")
        assert (target / "ids.csv").read_text() == "second"
        assert (first / "ids.csv").read_text() == "first"
    assert (target / "ids.csv").read_text() == "first"


def begin_and_stop(target):
    with filling(target, force=True) as folder:
        (folder / "ids.csv").write_text("after")
        raise KeyboardInterrupt


def test_stopped_by_an_error_it_leaves_what_was_there(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "ids.csv").write_text("before")
    with pytest.raises(LocalFileError):
        require_directory(target)
    with pytest.raises(KeyboardInterrupt):
        begin_and_stop(target)
    assert (target / "ids.csv").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]

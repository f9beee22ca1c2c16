"""The same chunks, and the same bytes, however they run; nothing is lost when a worker dies."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from linkage.errors import ChunkError, PlanError, RowsFileDamagedError
from linkage.executors import Inline, OnDask, Processes, compare, make, read_edges, run_chunk, status, write_edges
from linkage.executors.chunks import part
from linkage.join import join

SIZES = {"north": 3000, "south": 2500, "west": 700}
SMALL = {"bucket_rows": 100, "chunk_rows": 400}


@pytest.fixture
def inputs(tmp_path, write):
    return write(tmp_path, SIZES)


@pytest.fixture
def expected(inputs, schema):
    return join(inputs[1], schema.levels, caps=[p.cap for p in schema.passes])


def edges(work):
    write_edges(work, work / "all.tcedges")
    return read_edges(work / "all.tcedges")[1].tobytes()


@pytest.mark.parametrize("size", [{}, SMALL, {"bucket_rows": 20, "chunk_rows": 1}], ids=["one chunk", "many", "most"])
def test_as_the_join_in_memory(tmp_path, inputs, schema, expected, size):
    plan = make(tmp_path / "work", inputs[0], schema, **size)
    assert len(plan.joins) == 1 if not size else len(plan.joins) > 10
    found = compare(tmp_path / "work")
    assert edges(tmp_path / "work") == expected.table.tobytes()
    assert len(expected.table) > 1000
    assert (found.compared, found.edges, found.largest_block) == (
        expected.compared,
        len(expected.table),
        expected.largest_block,
    )
    assert found.over_cap == expected.over_cap


def test_processes_leave_the_same_bytes(tmp_path, inputs, schema, expected):
    for name, executor in (("inline", Inline()), ("processes", Processes(2))):
        make(tmp_path / name, inputs[0], schema, **SMALL)
        compare(tmp_path / name, executor)
    assert edges(tmp_path / "processes") == expected.table.tobytes()
    for file in (tmp_path / "inline").glob("*-*"):
        assert (tmp_path / "processes" / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_killed_worker_loses_nothing(tmp_path, inputs, schema, expected):
    """A real worker process is killed at every third chunk."""
    work = tmp_path / "work"
    make(work, inputs[0], schema, **SMALL)
    killed = []

    def progress(done, total):
        workers = [p for p in multiprocessing.active_children() if p.is_alive()]
        if workers and len(killed) < 3:
            os.kill(workers[0].pid, signal.SIGKILL)
            killed.append(workers[0].pid)

    found = compare(work, Processes(2), progress)
    assert len(killed) == 3
    assert edges(work) == expected.table.tobytes()
    assert found.compared == expected.compared


def test_workers_that_always_die_are_given_up(tmp_path, inputs, schema):
    work = tmp_path / "work"
    make(work, inputs[0], schema, **SMALL)
    for path in inputs[0]:  # nobody ever writes into these: a worker waits until it is killed
        path.unlink()
        os.mkfifo(path)
    stop = threading.Event()

    def killer():
        while not stop.wait(0.01):
            for p in multiprocessing.active_children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(p.pid, signal.SIGKILL)

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        with pytest.raises(ChunkError) as e:
            compare(work, Processes(2))
    finally:
        stop.set()
        thread.join()
    assert (e.value.code, e.value.kind) == ("chunk_failed", "unavailable")


@pytest.mark.parametrize("executor", [Inline(), Processes(2)], ids=["inline", "processes"])
def test_cancelled_and_resumed(tmp_path, inputs, schema, expected, executor):
    class EnoughError(Exception):
        pass

    work = tmp_path / "work"
    plan = make(work, inputs[0], schema, **SMALL)
    seen = []

    def progress(done, total):
        seen.append((done, total))
        if len(seen) == 6:
            raise EnoughError

    with pytest.raises(EnoughError):
        compare(work, executor, progress)
    state = status(work)
    assert all(state[c] for c in plan.cuts)
    assert 3 <= sum(state[c] for c in plan.joins) < len(plan.joins)
    stamps = {f.name: f.stat().st_mtime_ns for f in work.glob("*-*")}
    make(work, inputs[0], schema, **SMALL)  # asked for again: the same plan, nothing is thrown away
    compare(work, executor)
    assert all((work / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())
    assert edges(work) == expected.table.tobytes()
    assert seen[-1][1] == 2 * plan.rows


@pytest.mark.parametrize("damage", ["cut", "changed", "of another plan", "rows of a cut"])
def test_a_damaged_part_is_made_again(tmp_path, inputs, schema, expected, damage):
    work = tmp_path / "work"
    plan = make(work, inputs[0], schema, **SMALL)
    compare(work)
    path = part(work, plan.joins[3])
    if damage == "rows of a cut":
        path = work / "cut-00001.rows"
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-7])
    elif damage == "of another plan":
        path.write_bytes(content.replace(plan.hash.encode(), b"0" * 64))
    else:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    compare(work)
    assert path.read_bytes() == content
    assert edges(work) == expected.table.tobytes()


def test_chunk_by_chunk_as_a_batch_system_does(tmp_path, inputs, schema, expected):
    work = tmp_path / "work"
    plan = make(work, inputs[0], schema, **SMALL)
    with pytest.raises(PlanError, match="not cut"):
        run_chunk(str(work), plan.joins[0])
    with pytest.raises(PlanError):
        write_edges(work, work / "x")
    for chunk in [*plan.cuts, *reversed(plan.joins), plan.joins[0]]:
        run_chunk(str(work), chunk)
    assert edges(work) == expected.table.tobytes()
    for wrong in ("join-99999", "cut-00003", "other-00000", "join-0", ""):
        with pytest.raises(PlanError, match="no such chunk"):
            run_chunk(str(work), wrong)


def test_an_input_that_changed_is_refused(tmp_path, inputs, schema, write):
    work = tmp_path / "work"
    make(work, inputs[0], schema)
    path = inputs[0][1]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(RowsFileDamagedError) as refused:
        compare(work)
    assert refused.value.where == "source 2"
    write(tmp_path, {"south": 100})
    with pytest.raises(PlanError, match="changed"):
        compare(work)


def test_workers_end_with_their_parent(tmp_path):
    """A parent that is killed leaves no worker behind."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import multiprocessing, time\n"
        "from linkage.executors.pool import run\n"
        "def work(place, item):\n"
        "    return time.sleep(0.2)\n"
        "def done(_):\n"
        "    children = multiprocessing.active_children()\n"
        "    if len(children) == 2:\n"
        "        print(*[p.pid for p in children], flush=True)\n"
        "        time.sleep(100)\n"
        "if __name__ == '__main__':\n"
        "    run(work, '', ['a', 'b', 'c', 'd', 'e'], 2, done)\n"
    )
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    workers = [int(p) for p in parent.stdout.readline().split()]
    assert len(workers) == 2
    assert all(Path(f"/proc/{p}").exists() for p in workers)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(300):
        if not any(_lives(p) for p in workers):
            return
        time.sleep(0.1)
    pytest.fail("workers still live half a minute after their parent")


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def cluster():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as made,
        distributed.Client(made) as client,
    ):
        yield client


def test_dask_leaves_the_same_bytes_and_survives_a_killed_worker(tmp_path, inputs, schema, expected, cluster):
    work = tmp_path / "work"
    make(work, inputs[0], schema, **SMALL)
    pids = list(cluster.run(os.getpid).values())
    assert len(set(pids)) == 2
    assert os.getpid() not in pids
    killed = []

    def progress(done, total):
        if not killed:
            os.kill(pids[0], signal.SIGKILL)
            killed.append(pids[0])

    compare(work, OnDask(cluster), progress)
    assert killed
    assert edges(work) == expected.table.tobytes()
    make(tmp_path / "inline", inputs[0], schema, **SMALL)
    compare(tmp_path / "inline")
    for file in (tmp_path / "inline").glob("*-*"):
        assert (work / file.name).read_bytes() == file.read_bytes(), file.name

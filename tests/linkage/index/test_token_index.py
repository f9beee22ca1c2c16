"""The index on disk: a window is a look-up, what was retired is gone, and a change is whole or not there."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import rows_support
from rows_support import draw

from linkage import load_schema
from linkage.errors import RowsFileDamagedError, TokenIndexBusyError, TokenIndexDamagedError, TokenIndexError
from linkage.index import TokenIndex, Window
from linkage.join import join
from linkage.rows import ROW, write_rows


def make_rows(name, n, passes=15):
    return rows_support.make_rows(name, n, passes, ends=2)


@pytest.fixture(scope="module")
def schema():
    shipped = load_schema("febrl/1")
    return msgspec.structs.replace(shipped, passes=tuple(msgspec.structs.replace(p, cap=500) for p in shipped.passes))


@pytest.fixture
def index(tmp_path, schema):
    return TokenIndex.create(tmp_path / "index", "s", 1, schema)


def bulk(schema, sources):
    return join(list(sources), schema.levels, caps=[p.cap for p in schema.passes]).table


def live_edges(found, live):
    """Edges of all windows whose refs are both live, sorted."""
    table = np.concatenate(found)
    known = {bytes(r) for rows in live for r in rows["ref"]}
    kept = [e.tobytes() for e in table if bytes(e["lo"]) in known and bytes(e["hi"]) in known]
    return b"".join(sorted(kept))


def file_of(tmp_path, schema, name, rows):
    header = {"study": "s", "version": 1, "fingerprint": schema.fingerprint, "passes": schema.P, "source": name}
    write_rows(tmp_path / f"{name}.tcrows", rows, header)
    return tmp_path / f"{name}.tcrows"


@pytest.mark.parametrize("compact", ["never", "after every window", "whole at the end"])
def test_windows_are_the_bulk(tmp_path, index, schema, compact):
    """Load two sources, then ten windows with new, retired and returning rows of three sources."""
    base = {"a": make_rows("a", 1500), "b": make_rows("b", 900)}
    assert index.load([file_of(tmp_path, schema, n, r) for n, r in base.items()]) == 2400
    live = {"a": base["a"], "b": base["b"], "c": np.empty(0, ROW)}
    found = [bulk(schema, [base["a"], base["b"]])]
    gone = {name: np.empty(0, ROW) for name in live}
    for number in range(10):
        rows, retired = {}, []
        for name in live:
            leaves = draw(f"leave {number} {name}", len(live[name])) < 20
            back = gone[name][:5]
            rows[name] = np.concatenate([make_rows(f"{name}{number}", 60), back])
            retired.append(live[name]["ref"][leaves])
            gone[name] = np.concatenate([gone[name][5:], live[name][leaves]])
            live[name] = np.concatenate([live[name][~leaves], rows[name]])
        window = Window(rows, np.concatenate(retired))
        edges = index.look_up(window)
        assert index.apply(window)
        found.append(edges.table)
        if compact == "after every window":
            index.compact()
    if compact == "whole at the end":
        before = index.look_up(Window({"d": make_rows("d", 50)}))
        assert index.compact(whole=True) == 11
        assert index.look_up(Window({"d": make_rows("d", 50)})).table.tobytes() == before.table.tobytes()
        assert (len(index.manifest.segments), index.manifest.retired) == (1, ())
        assert index.manifest.segments[0].n == sum(map(len, live.values()))
    index.check()
    # A row that left and came back finds its partners in both windows; once is enough.
    kept = live_edges(found, live.values())
    together = sorted({kept[i : i + 33] for i in range(0, len(kept), 33)})
    whole = bulk(schema, live.values())
    assert b"".join(together) == whole.tobytes()
    assert len(whole) > 500
    if compact == "after every window":
        assert len(index.manifest.segments) < 8
    later = index.look_up(Window({"d": make_rows("d", 200)})).table
    d = bulk(schema, [*live.values(), make_rows("d", 200)])
    assert later.tobytes() == _touching(d, make_rows("d", 200))


def test_a_window_again_changes_nothing(index):
    window = Window({"a": make_rows("a", 100), "b": make_rows("b", 100)})
    assert index.apply(window) is True
    state = index.manifest
    turned = Window({"b": window.rows["b"][::-1], "a": window.rows["a"]})
    assert turned.identity == window.identity
    assert index.apply(turned) is False
    assert index.manifest == state


def test_records_that_return_are_a_window_of_their_own(index):
    """A row that comes back has the ref it had, so the window has the content of an earlier one."""
    a = make_rows("a", 100)
    first, last = Window({"a": a}, name="window 1"), Window({"a": a}, name="window 3")
    assert index.apply(first)
    assert index.apply(Window({}, a["ref"], name="window 2"))
    probe = Window({"b": make_rows("b", 300)})
    assert index.look_up(probe).compared < index.look_up(Window({**probe.rows, "a": a})).compared
    assert (index.has(first), index.has(last)) == (True, False)
    assert index.apply(last) is True
    assert index.apply(last) is False
    assert index.has(last)


def test_built_again(index, schema):
    """New content in one step: what it holds is found, what was there is not, and the windows in it are known."""
    a, b, c = make_rows("a", 400), make_rows("b", 300), make_rows("c", 200)
    index.apply(Window({"old": make_rows("old", 300)}, name="window 1"))
    index.apply(Window({"b": b}, a["ref"][:10], name="window 2"))
    state = index.manifest

    def broken():
        yield Window({"a": a})
        raise RuntimeError

    with pytest.raises(RuntimeError):
        index.replace(broken())
    assert index.manifest == state
    assert (
        index.replace([Window({"a": a[:200]}), Window({"a": a[200:]}), Window({"b": b})], [Window({}, name="w")]) == 700
    )
    index.check()
    assert index.look_up(Window({"c": c})).table.tobytes() == _touching(bulk(schema, [a, b, c]), c)
    assert index.manifest.sources == ("a", "b")
    assert index.manifest.sequence > state.sequence
    assert index.has(Window({}, name="w"))
    assert not index.has(Window({"b": b}, a["ref"][:10], name="window 2"))
    assert index.replace([]) == 0
    assert {p.name for p in index.folder.iterdir()} == {"manifest.json", "lock"}
    assert index.look_up(Window({"c": c})).compared == 0


def _touching(table, rows):
    fresh = {bytes(r) for r in rows["ref"]}
    return b"".join(e.tobytes() for e in table if bytes(e["lo"]) in fresh or bytes(e["hi"]) in fresh)


def test_looking_changes_nothing_and_new_rows_meet_each_other(index, schema):
    a, b = make_rows("a", 300), make_rows("b", 300)
    state = index.manifest
    assert index.look_up(Window({"a": a, "b": b})).table.tobytes() == bulk(schema, [a, b]).tobytes()
    assert index.look_up(Window({})).table.tobytes() == b""
    assert index.manifest == state


@pytest.mark.parametrize("when", ["segment", "retired", "before the manifest"])
def test_a_change_that_was_cut_short_leaves_the_state_before(tmp_path, index, schema, when):
    index.apply(Window({"a": make_rows("a", 200)}))
    shutil.copytree(index.folder, tmp_path / "before")
    window = Window({"b": make_rows("b", 200)}, index_refs(make_rows("a", 200))[:20])
    state = index.manifest
    index.apply(window)
    after = sorted(p.name for p in index.folder.iterdir())
    (index.folder / "manifest.json").write_bytes((tmp_path / "before" / "manifest.json").read_bytes())
    if when == "segment":
        os.truncate(index.folder / "seg-0000000002", 100)
        (index.folder / "del-0000000002").unlink()
    elif when == "retired":
        os.truncate(index.folder / "del-0000000002", 3)
    assert index.manifest == state
    index.check()
    assert index.apply(window) is True
    index.check()
    assert sorted(p.name for p in index.folder.iterdir()) == after


def index_refs(rows):
    return rows["ref"]


@pytest.mark.faults
def test_killed_at_any_moment(tmp_path, index, schema):
    """A process that applies windows is killed again and again; what it reported is there, and nothing by half."""
    script = tmp_path / "apply.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"sys.path[:0] = {[str(Path(__file__).parent), str(Path(rows_support.__file__).parent)]!r}\n"
        "from pathlib import Path\n"
        "from test_token_index import make_rows\n"
        "from linkage.index import TokenIndex, Window\n"
        f"index = TokenIndex(Path({str(index.folder)!r}))\n"
        "print('ready', flush=True)\n"
        "for n in range(int(sys.argv[1]), 10000):\n"
        "    index.apply(Window({'a': make_rows(f'a{n}', 40)}, make_rows(f'a{n - 2}', 40)['ref']))\n"
        "    if n % 3 == 0: index.compact()\n"
        "    print(n, flush=True)\n"
    )
    done = 0
    for kill in range(6):
        process = subprocess.Popen([sys.executable, script, str(done + 1)], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        lines = [process.stdout.readline() for _ in range(1 + kill % 3)]
        time.sleep(0.003 * kill)  # somewhere in the next window, or in a compaction
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().split()
        process.wait()
        process.stdout.close()
        done = max([done, *map(int, lines)])
        index.check()
        # The window after the last that was reported may be there as a whole, or not at all.
        probe = Window({"z": make_rows("z", 300)})
        seen = index.look_up(probe).table.tobytes()
        possible = [bulk_of(schema, n, probe) for n in (done, done + 1)]
        assert seen in possible
    assert done >= 11


def bulk_of(schema, n, probe):
    """What a probe finds when windows 1..n were applied: rows of the last two are live."""
    live = np.concatenate([make_rows(f"a{k}", 40) for k in (n - 1, n) if k > 0] or [np.empty(0, ROW)])
    return bulk(schema, [live, probe.rows["z"]]).tobytes()


@pytest.mark.parametrize("damage", ["missing", "cut", "head", "row", "manifest", "list"])
def test_damage_is_found(index, damage):
    a = make_rows("a", 200)
    index.apply(Window({"a": a}))
    index.apply(Window({"b": make_rows("b", 200)}, a["ref"][:10]))
    path = index.folder / {"manifest": "manifest.json", "list": "del-0000000002"}.get(damage, "seg-0000000001")
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-72])
    elif damage == "head":
        path.write_bytes(content[:8] + b"\xff" + content[9:])
    else:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(TokenIndexDamagedError) as refused:
        index.check()
    assert refused.value.code == "index_damaged"
    if damage != "row":
        with pytest.raises(TokenIndexDamagedError):
            index.look_up(Window({"z": make_rows("z", 50)}))


def test_refused(tmp_path, index, schema):
    a = make_rows("a", 50)
    with pytest.raises(TokenIndexError, match="not empty"):
        TokenIndex.create(index.folder, "s", 1, schema)
    with pytest.raises(TokenIndexError, match="no index"):
        TokenIndex(tmp_path / "none").look_up(Window({"a": a}))
    assert not (tmp_path / "none").exists()
    for window in (
        Window({"a": np.concatenate([a, a[:1]])}),
        Window({"a": a, "b": a[:1]}),
        Window({"a": a}, a["ref"][:1]),
        Window({"a": a[["ref", "pass"]]}),
        Window({"a": a}, a["ref"][:, :8]),
        Window({"a": make_rows("p", 50, passes=40)}),
    ):
        with pytest.raises(TokenIndexError):
            index.apply(window)
        with pytest.raises(TokenIndexError):
            index.look_up(window)
    file = file_of(tmp_path, schema, "a", a)
    assert index.load([file]) == 50
    with pytest.raises(TokenIndexError, match="already"):
        index.load([file])
    header = {"study": "t", "version": 1, "fingerprint": schema.fingerprint, "passes": schema.P, "source": "x"}
    write_rows(tmp_path / "x", a, header)
    with pytest.raises(TokenIndexError, match="study"):
        index.load([tmp_path / "x"])
    state = index.manifest
    broken = file_of(tmp_path, schema, "broken", make_rows("broken", 50))
    bits = bytearray(broken.read_bytes())
    bits[-1] ^= 1
    broken.write_bytes(bits)
    with pytest.raises(RowsFileDamagedError):
        index.load([broken])
    assert index.manifest == state


def test_one_change_at_a_time(index):
    import fcntl

    index.apply(Window({"a": make_rows("a", 20)}))
    with (index.folder / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TokenIndexBusyError):
            index.apply(Window({"b": make_rows("b", 20)}))
        assert len(index.look_up(Window({"b": make_rows("b", 20)})).over_cap) == 2
    assert index.apply(Window({"b": make_rows("b", 20)}))


def test_one_token_for_thousands(index):
    """A flood in the index, and a window that asks for just that token."""
    flood = np.zeros(20_000, ROW)
    flood["ref"][:, :4] = np.arange(1, 20_001, dtype=">u4").view(np.uint8).reshape(-1, 4)
    index.apply(Window({"flood": flood, "b": make_rows("b", 100)}))
    asked = np.zeros(1, ROW)
    asked["ref"] = 255
    edges = index.look_up(Window({"a": asked}))
    assert len(edges.table) <= 100
    assert max(edges.over_cap) == 20_000

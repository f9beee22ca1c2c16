"""What a plan refuses, and what of bad input it takes without harm."""

import msgspec
import numpy as np
import pytest

from linkage.errors import PlanError, RowsFileDamagedError, RowsFileError
from linkage.executors import compare, load, make, read_edges, write_edges
from linkage.rows import ROW, sort_order, write_rows


def test_files_that_do_not_belong_together(tmp_path, write, schema):
    (a, b), _ = write(tmp_path, {"a": 20, "b": 20})
    (tmp_path / "other").mkdir()
    for change in ({"study": "t"}, {"version": 2}, {"fingerprint": "ab" * 32}):
        (c,), _ = write(tmp_path / "other", {"c": 20}, **change)
        with pytest.raises(PlanError, match="not of one study"):
            make(tmp_path / "work", [a, c], schema)
    for files, message in (([a], "at least two"), ([a, a], "one name"), ([], "at least two")):
        with pytest.raises(PlanError, match=message):
            make(tmp_path / "work", files, schema)
    with pytest.raises(PlanError, match="another schema"):
        make(tmp_path / "work", [a, b], msgspec.structs.replace(schema, name="other/1"))
    with pytest.raises(RowsFileError):
        make(tmp_path / "work", [a, tmp_path / "none"], schema)
    assert not (tmp_path / "work").exists()


def test_a_source_with_itself_under_another_name(tmp_path, write, schema):
    (a,), (rows,) = write(tmp_path, {"a": 20})
    header = {"study": "s", "version": 1, "fingerprint": schema.fingerprint, "passes": schema.P}
    write_rows(tmp_path / "again", rows, {**header, "source": "again"})
    (b,), _ = write(tmp_path, {"b": 20})
    with pytest.raises(PlanError, match="the same rows") as refused:
        make(tmp_path / "work", [a, b, tmp_path / "again"], schema)
    assert refused.value.where == "sources 1 and 3"


def test_a_directory_of_another_comparison(tmp_path, write, schema):
    (a, b, c), _ = write(tmp_path, {"a": 20, "b": 20, "c": 20})
    plan = make(tmp_path / "work", [a, b], schema)
    assert load(tmp_path / "work") == plan
    assert make(tmp_path / "work", [a, b], schema) == plan
    for files, change in (([a, c], {}), ([b, a], {}), ([a, b], {"chunk_rows": 7})):
        with pytest.raises(PlanError, match="another comparison"):
            make(tmp_path / "work", files, schema, **change)
    (tmp_path / "work" / "plan.json").write_bytes(b"{")
    with pytest.raises(PlanError, match="damaged"):
        compare(tmp_path / "work")
    with pytest.raises(PlanError, match="no plan"):
        compare(tmp_path)


def test_the_hash_does_not_hang_on_where_the_files_are(tmp_path, write, schema):
    hashes = set()
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        files, _ = write(tmp_path / name, {"a": 20, "b": 20})
        hashes.add(make(tmp_path / name / "work", files, schema).hash)
    assert len(hashes) == 1


def test_moved_files_may_be_planned_again(tmp_path, write, schema):
    files, _ = write(tmp_path, {"a": 200, "b": 200})
    make(tmp_path / "work", files, schema)
    moved = [f.rename(tmp_path / f"moved-{f.name}") for f in files]
    with pytest.raises(RowsFileError):
        compare(tmp_path / "work")
    make(tmp_path / "work", moved, schema)
    assert compare(tmp_path / "work").rows == 400


@pytest.mark.parametrize("sizes", [{"a": 0, "b": 0}, {"a": 0, "b": 10}, {"a": 1, "b": 1, "c": 0}])
def test_empty_and_tiny_sources(tmp_path, write, schema, sizes):
    files, _ = write(tmp_path, sizes)
    make(tmp_path / "work", files, schema)
    assert compare(tmp_path / "work").rows == sum(sizes.values())
    assert write_edges(tmp_path / "work", tmp_path / "e").n == len(read_edges(tmp_path / "e")[1])


def test_one_token_for_all_rows_of_a_source(tmp_path, write, schema):
    """One row shared by thousands of records: the flood is named and left out, and costs no more than its size."""
    honest, _ = write(tmp_path, {"a": 300, "b": 300})
    flood = np.zeros(50_000, ROW)
    flood["filter"][:, 0] = 1
    flood["ref"][:, :4] = np.arange(50_000, dtype=">u4").view(np.uint8).reshape(-1, 4)
    header = {"study": "s", "version": 1, "fingerprint": schema.fingerprint, "passes": schema.P, "source": "flood"}
    write_rows(tmp_path / "flood", flood[sort_order(flood["ref"])], header)
    make(tmp_path / "two", honest, schema)
    make(tmp_path / "three", [*honest, tmp_path / "flood"], schema, bucket_rows=1000, chunk_rows=1000)
    two, three = compare(tmp_path / "two"), compare(tmp_path / "three")
    assert three.over_cap == (0, 0, 50_000)
    assert three.compared == two.compared
    for name in ("two", "three"):
        write_edges(tmp_path / name, tmp_path / f"{name}.tcedges")
    assert read_edges(tmp_path / "two.tcedges")[1].tobytes() == read_edges(tmp_path / "three.tcedges")[1].tobytes()


@pytest.mark.parametrize("damage", ["magic", "header", "body", "cut", "order"])
def test_a_damaged_edges_file(tmp_path, write, schema, damage):
    files, _ = write(tmp_path, {"a": 300, "b": 300})
    make(tmp_path / "work", files, schema)
    compare(tmp_path / "work")
    path = tmp_path / "e.tcedges"
    assert write_edges(tmp_path / "work", path).n > 10
    assert path.stat().st_mode & 0o777 == 0o600
    content = bytearray(path.read_bytes())
    if damage == "magic":
        content[0] ^= 1
    elif damage == "header":
        content = content.replace(b'"study"', b'"sTudy"')
    elif damage == "body":
        content[-1] ^= 1
    elif damage == "cut":
        content = content[:-33]
    else:
        from linkage.executors.edgefile import write as write_parts

        table = read_edges(path)[1]
        write_parts(path, iter([table[::-1]]), len(table), "s", 1, schema.fingerprint)
        content = path.read_bytes()
    path.write_bytes(content)
    with pytest.raises(RowsFileError if damage == "magic" else RowsFileDamagedError):
        read_edges(path)


def test_edges_stay_what_they_were_when_another_file_takes_their_place(tmp_path, write, schema):
    path = tmp_path / "e.tcedges"
    for name, size in (("small", 100), ("large", 300)):
        folder = tmp_path / name
        folder.mkdir()
        files, _ = write(folder, {"a": size, "b": size})
        make(folder / "work", files, schema)
        compare(folder / "work")
    write_edges(tmp_path / "large" / "work", path)
    header, table = read_edges(path)
    before = table.tobytes()
    other = write_edges(tmp_path / "small" / "work", path)
    assert (len(before) // 33, table.tobytes()) == (header.n, before)
    assert read_edges(path)[0] == other != header

"""An encoding that was killed anywhere goes on in its working directory, and leaves the bytes of one that was not."""

import hashlib
import hmac
import json
from dataclasses import replace

import encoding_support
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from encoding_support import HEADER, SCHEMA, SECRETS, SIZES, STEPS, encoding, killed

from linkage.encode import encode_pieces, forget
from linkage.encode.kept import place_of
from linkage.errors import EncodeWorkBusyError, EncodeWorkError, RowsFileError


@pytest.fixture(scope="module")
def people():
    return encoding_support.people()


@pytest.fixture(scope="module")
def whole(people, tmp_path_factory):
    """Rows, map and ids of an encoding that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    return of(folder, encoding(people, folder, None))


def of(folder, seen):
    return (folder / "rows").read_bytes(), (folder / "map").read_bytes(), seen


def test_killed_again_and_again(tmp_path, people, whole):
    """While rows are made, and in the middle of sorting; what lies there then holds neither a name nor an id."""
    folder, work = tmp_path / "out", tmp_path / "work"
    for step, there in ((3, 3), (len(SIZES) + 128, 4)):
        killed(folder, work, step)
        assert len(list(work.glob("piece-*"))) == there
        assert not list(folder.glob("[a-z]*"))
        assert_no_value(people, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in work.glob("piece-*")}
    seen = encoding(people, folder, work)
    assert of(folder, seen) == whole
    assert {path: path.stat().st_mtime_ns for path in work.glob("piece-*")} == before, "a piece was made twice"
    assert not list(work.glob(".*")), "what the killed processes left is gone"
    forget(work)
    assert not work.exists()


def assert_no_value(people, place):
    columns, ids = people
    words = {v for name in ("surname", "town", "birth_date") for v in columns[name] if len(v) > 6} | set(ids)
    assert len(words) > 300
    kept = [path for path in place.rglob("*") if path.is_file()]
    assert {path.name[:6] for path in kept} >= {"piece-", "encodi"}
    data = b"\0".join(path.read_bytes() for path in kept)
    assert not any(word.encode() in data for word in words)
    assert place.joinpath("work").stat().st_mode & 0o777 == 0o700


@pytest.mark.soak
def test_killed_at_many_steps(tmp_path, people, whole):
    """At every piece, and at every sixteenth of the parts that are sorted."""
    for step in (*range(1, len(SIZES) + 1), *range(len(SIZES) + 1, STEPS + 1, 16)):
        folder, work = tmp_path / f"out-{step}", tmp_path / f"work-{step}"
        killed(folder, work, step)
        assert of(folder, encoding(people, folder, work)) == whole, step


def stopped(people, folder, work):
    """An encoding that was given up after two pieces."""
    told = []

    def stop(done, total):
        told.append(done)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoding(people, folder, work, progress=stop)


@pytest.mark.parametrize("harm", ["cut", "changed", "of another place"])
def test_a_piece_that_is_not_whole_is_made_again(tmp_path, people, whole, harm):
    folder, work = tmp_path / "out", tmp_path / "work"
    stopped(people, folder, work)
    first, second = sorted(work.glob("piece-*"))
    data = bytearray(first.read_bytes())
    if harm == "cut":
        first.write_bytes(data[:-1])
    elif harm == "changed":
        data[-1] ^= 1
        first.write_bytes(data)
    else:
        second.replace(first)
    assert of(folder, encoding(people, folder, work)) == whole


def test_the_directory_is_as_specified(tmp_path, people):
    """docs/spec/encoding-work.md, read with nothing of ours."""
    folder, work = tmp_path / "out", tmp_path / "work"
    stopped(people, folder, work)
    line = (work / "encoding.json").read_bytes()
    begun = json.loads(line)
    assert line == json.dumps(begun, sort_keys=True, separators=(",", ":")).encode() + b"\n"

    def subkey(secret, version):
        info = b"trustcenter/keyed-passes/1/work\0" + (1).to_bytes(4, "big") + b"s" + version.to_bytes(4, "big")
        return HKDFExpand(SHA256(), 32, info).derive(secret)

    shared = subkey(SECRETS.study_secret, 1)
    assert begun.pop("secrets") == hmac.new(subkey(SECRETS.site_key, 0), shared, "sha256").hexdigest()
    assert len(begun.pop("input")) == 64
    assert begun == {**HEADER, "format": "trustcenter/encoding-work/1", "records": sum(SIZES)}
    data = (work / "piece-000000").read_bytes()
    magic, text, body = data.split(b"\n", 2)
    head = json.loads(text)
    assert magic == b"TCENCP1"
    assert (head["encoding"], head["number"]) == (hashlib.sha256(line[:-1]).hexdigest(), 0)
    assert head["sha256"] == hashlib.sha256(body).hexdigest()
    rows, entries = SIZES[0] * SCHEMA.P * 65, SIZES[0] * (17 + 16 * SCHEMA.P)
    assert len(body) == rows + entries
    for counts, part, size in (("rows", body[:rows], 65), ("map", body[rows:], 17 + 16 * SCHEMA.P)):
        firsts = part[::size]
        assert firsts == bytes(sorted(firsts))
        assert head[counts] == [firsts.count(k) for k in range(256)]


def test_another_encoding_in_the_same_place_is_refused(tmp_path, people, whole):
    folder, work = tmp_path / "out", tmp_path / "work"
    stopped(people, folder, work)
    others = [
        ("study", {"header": {**HEADER, "study": "t"}}),
        ("name of the source", {"header": {**HEADER, "source": "b"}}),
        ("version of the study secret", {"header": {**HEADER, "version": 2}}),
        ("schema", {"header": {**HEADER, "fingerprint": "0" * 64}}),
        ("study secret or site key", {"secrets": replace(SECRETS, site_key=bytes(range(1, 33)))}),
        ("study secret or site key", {"secrets": replace(SECRETS, study_secret=bytes(range(2, 34)))}),
    ]
    for what, arguments in others:
        with pytest.raises(EncodeWorkError, match=f"another {what}"):
            encoding(people, folder, work, **arguments)
    columns, ids = people
    other_name = {**columns, "surname": [*columns["surname"][:-1], "Weiß"]}
    for changed in ((other_name, ids), (columns, [*ids[:-1], "another"])):
        with pytest.raises(EncodeWorkError, match="changed since"):
            encoding(changed, folder, work)
    with pytest.raises(EncodeWorkError, match="changed since"):
        encoding(people, folder, work, sizes=SIZES[:-1])
    assert of(folder, encoding(people, folder, work)) == whole, "what was refused changed nothing"


def test_a_damaged_or_busy_place(tmp_path, people):
    folder, work = tmp_path / "out", tmp_path / "work"
    with place_of(work, tmp_path), pytest.raises(EncodeWorkBusyError):
        encoding(people, folder, work)
    (work / "encoding.json").write_bytes(b"{}")
    with pytest.raises(EncodeWorkError, match="damaged"):
        encoding(people, folder, work)
    with pytest.raises(EncodeWorkError, match="cannot be made"):
        encoding(people, folder, tmp_path / "nowhere" / "work")


def test_a_name_that_no_file_can_bear_is_refused_before_anything_is_read(tmp_path):
    def never():
        raise AssertionError("it was read")
        yield

    with pytest.raises(RowsFileError, match="study, source or schema"):
        encode_pieces(SCHEMA, never(), SECRETS, tmp_path / "r", tmp_path / "m", {**HEADER, "source": "x" * 129})
    assert not list(tmp_path.iterdir())


def test_other_files_in_the_place_stay(tmp_path, people):
    folder, work = tmp_path / "out", tmp_path / "work"
    work.mkdir()
    for mine in ("mine.txt", "piece-of-mine.txt"):
        (work / mine).write_text("mine")
    (work / ".encoding.json4k2x").write_text("{")  # of a process that was killed while it began
    encoding(people, folder, work)
    forget(work)
    assert sorted(path.name for path in work.iterdir()) == ["mine.txt", "piece-of-mine.txt"]

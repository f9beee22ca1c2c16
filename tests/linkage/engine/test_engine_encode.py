"""What must hold of an encoding whatever the records."""

import json
import subprocess
import sys

import numpy as np
import pytest

from linkage import Secrets, load_schema, prepare, record_numbers
from linkage.encode import encode
from linkage.encode.streams import Streams
from linkage.errors import SecretsError
from linkage.join import join
from linkage.rows import ROW, ascending
from linkage.schema import Schema

SCHEMA = load_schema("de-person/1")
COLUMNS = {
    "given_name": ["Käthe", "Jan", "Łukasz", "Anna Maria", "", "Jan"],
    "surname": ["Müller", "Öz", "Żak", "von der Heide", "Rest", "Öz"],
    "birth_date": ["1980-02-29", "01.12.1999", "1970-01-01", "1970-01-01", "", "01.12.1999"],
    "street": ["Hauptstr.", "Am Ring", "", "Allee", "Weg", "Am Ring"],
    "house_number": ["1", "2a", "", "7", "9", "2a"],
    "postcode": ["04103", "04109", "", "10115", "20095", "04109"],
    "town": ["Leipzig", "Leipzig", "", "Berlin", "Hamburg", "Leipzig"],
}
IDS = ["1", "2", "3", "4", "5", "6"]


def columns(order):
    known = {f.name for f in SCHEMA.fields}
    return {k: [v[i] for i in order] for k, v in COLUMNS.items() if k in known}


def run(secrets, order=range(6), site="a"):
    return encode(SCHEMA, prepare(SCHEMA, columns(order)), [IDS[i] for i in order], secrets(site))


def test_every_record_has_one_row_per_pass(secrets):
    made = run(secrets)
    assert made.rows.dtype == ROW
    assert made.rows.dtype.itemsize == 65
    assert np.bincount(made.rows["pass"], minlength=SCHEMA.P).tolist() == [6] * SCHEMA.P
    assert (made.live_passes < SCHEMA.P).any(), "a record with missing values must have dummies"
    assert (made.live_passes.sum() + sum(made.missing) + sum(made.capped)) == 6 * SCHEMA.P


def test_rows_are_sorted_and_refs_unique(secrets):
    made = run(secrets)
    assert ascending(made.rows["ref"])
    assert sorted(map(bytes, made.refs.reshape(-1, 16))) == [bytes(r) for r in made.rows["ref"]]
    for record in made.refs:
        assert ascending(record)


def test_order_of_records_does_not_show(secrets):
    one, other = run(secrets), run(secrets, [3, 5, 0, 2, 4, 1])
    assert one.rows.tobytes() == other.rows.tobytes()
    assert one.refs[3].tobytes() == other.refs[0].tobytes()


def test_chunks_do_not_show(secrets, monkeypatch):
    whole = run(secrets)
    monkeypatch.setattr("linkage.encode.encoder._CHUNK", 2)
    monkeypatch.setattr("linkage.encode.streams._ROWS", 1)
    assert run(secrets).rows.tobytes() == whole.rows.tobytes()


def test_two_sites_share_tokens_and_nothing_else(secrets):
    one, other = run(secrets), run(secrets, site="b")
    live = {bytes(t) for t in one.rows["token"]} & {bytes(t) for t in other.rows["token"]}
    assert live
    assert not {bytes(r) for r in one.rows["ref"]} & {bytes(r) for r in other.rows["ref"]}
    assert not {bytes(r) for r in one.record_numbers} & {bytes(r) for r in other.record_numbers}


def test_over_the_cap_all_become_dummies(secrets):
    """Records 1 and 5 are alike: two rows per block, one more than a cap of 1."""
    import msgspec

    tight = msgspec.structs.replace(
        SCHEMA, profile="tight", passes=tuple(msgspec.structs.replace(p, cap=1) for p in SCHEMA.passes)
    )
    made = encode(tight, prepare(tight, columns(range(6))), IDS, secrets("a"))
    assert made.live_passes[1] == made.live_passes[5] == 0
    assert made.live_passes[0] == SCHEMA.P
    assert len({bytes(t) for t in made.rows["token"]}) == len(made.rows)


def test_a_changed_value_changes_every_live_ref_and_no_record_number(secrets):
    before = run(secrets)
    changed = columns(range(6))
    changed["town"][0] = "Halle"
    after = encode(SCHEMA, prepare(SCHEMA, changed), IDS, secrets("a"))
    assert after.record_numbers.tobytes() == before.record_numbers.tobytes()
    assert not {bytes(r) for r in before.refs[0]} & {bytes(r) for r in after.refs[0]}
    assert before.refs[1:].tobytes() == after.refs[1:].tobytes()


def test_dummies_are_renewed_with_the_version(secrets):
    from dataclasses import replace

    old = run(secrets)
    new = encode(SCHEMA, prepare(SCHEMA, columns(range(6))), IDS, replace(secrets("a"), version=2))
    assert new.record_numbers.tobytes() == old.record_numbers.tobytes()
    assert not {bytes(t) for t in old.rows["token"]} & {bytes(t) for t in new.rows["token"]}


def test_filters_are_half_full(encoded):
    made, _ = encoded("a", lambda p: p < 500)
    share = np.unpackbits(made.rows["filter"]).mean()
    assert 0.498 < share < 0.502
    fill = np.bitwise_count(made.rows["filter"]).sum(axis=1)
    assert 7.5 < fill.std() < 8.5, "fill must look like 256 fair coins, whatever the record holds"


def test_distance_grows_with_the_number_of_differing_base_bits(uniform):
    schema = load_schema("febrl/1")
    streams = Streams(schema, b"\x01" * 32)
    base = uniform("base", 2048) & 1
    order = np.argsort(uniform("order", 2048, 8).view("<u8")[:, 0])
    nonces = uniform("nonces", 300, 8)
    zero = np.zeros(300, np.int64)
    reference = streams.filters(0, nonces, base[None], zero)
    mean = []
    for d in (0, 20, 60, 120, 240):
        other = base.copy()
        other[order[:d]] ^= 1
        filters = streams.filters(0, nonces, other[None], zero)
        mean.append(np.bitwise_count(filters ^ reference).sum(axis=1).mean() / 256)
        assert mean[-1] == pytest.approx((1 - (1 - 2 * d / 2048) ** 8) / 2, abs=0.01)
    assert mean == sorted(mean)
    assert mean[0] == 0


def test_progress_may_cancel(secrets):
    class Enough(Exception):
        pass

    def stop(done, total):
        assert (done, total) == (6, 6)
        raise Enough

    with pytest.raises(Enough):
        encode(SCHEMA, prepare(SCHEMA, columns(range(6))), IDS, secrets("a"), progress=stop)


def test_no_records(secrets):
    made = encode(SCHEMA, prepare(SCHEMA, columns([])), [], secrets("a"))
    assert made.rows.shape == (0,)
    assert made.refs.shape == (0, SCHEMA.P, 16)


def test_secrets_do_not_show(secrets):
    assert "07" not in repr(secrets("a")).replace("version", "")
    assert b"\x07" * 4 not in repr(secrets("a")).encode()
    assert "\\x07" not in repr(secrets("a"))


def test_record_numbers_need_the_site_key_only(secrets):
    a = secrets("a")
    assert record_numbers(a.site_key, "study", IDS).tobytes() == run(secrets).record_numbers.tobytes()
    assert record_numbers(a, "another", IDS).tobytes() != record_numbers(a, "study", IDS).tobytes()


def test_importing_the_package_does_not_load_numba():
    code = (
        "import sys, linkage, linkage.encode, linkage.join, linkage.match, linkage.rows; print('numba' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_kernels_compile_where_nothing_can_be_written():
    """A read-only installation under a user without a home: numba finds no place for its cache.

    All kernels get their cache in one place, so one file of them is enough: compiling all takes a quarter of a minute.
    """
    code = """
import importlib.util, sys, tempfile, types
kernels = types.ModuleType("linkage.kernels")
kernels.__path__ = [importlib.util.find_spec("linkage").submodule_search_locations[0] + "/kernels"]
sys.modules["linkage.kernels"] = kernels
def refused(*args, **kwargs):
    raise OSError
tempfile.TemporaryFile = refused
from linkage.kernels.onetoone import greedy
import numpy as np
won = np.zeros(2, np.bool_)
greedy(np.array([1, 0]), np.array([0, 0], "i4"), np.array([1, 2], "i4"), np.zeros(3, np.bool_), won)
print(won.tolist(), type(greedy._cache).__name__)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[False, True] NullCache"


def _edges_between(schema, left, right, secrets):
    """Levels of the edges between two sites of one record each, ascending."""
    sides = (("north", left), ("south", right))
    columns = [{k: [v] for k, v in one.items() if k in schema.columns} for _, one in sides]
    made = [
        encode(schema, prepare(schema, one), ["1"], secrets(site))
        for one, (site, _) in zip(columns, sides, strict=True)
    ]
    assert [len(m.rows) for m in made] == [schema.P] * 2
    found = join([m.rows for m in made], schema.levels, caps=[p.cap for p in schema.passes])
    return sorted(found.table["level"].tolist())


def _one_pass(**more):
    """S+pc and nothing else."""
    text = json.loads(SCHEMA.canonical())
    passes = [{"name": "S+pc", "parts": ["S", "pc"], "cap": 10, **more}]
    return Schema.parse(json.dumps({**text, "name": "mine/1", "profile": "mine", "passes": passes}).encode())


@pytest.mark.parametrize(
    ("extra", "other"),
    [
        ({"birth_name": "Schulz"}, "Schulz"),
        ({"former_surname": "Kunze|Schulz"}, "Schulz"),
        ({"surname": "Ahrens-Schulz"}, "Schulz"),
        ({"surname": "Huber geb. Schulz"}, "Schulz"),
        ({"surname": "", "birth_name": "Schulz"}, "Schulz"),
        ({"surname": "Schulz", "former_postcode": "04103", "former_street": "Weg", "postcode": "10115"}, "Schulz"),
    ],
)
def test_a_further_value_meets_the_record_that_stands_under_it(extra, other, secrets):
    person = {"given_name": "Ilse", "birth_date": "1980-02-29", "street": "Weg", "postcode": "04103"}
    left, right = {**person, "surname": "Huber", **extra}, {**person, "surname": other}
    assert _edges_between(_one_pass(), left, right, secrets) == []
    # Level 1: the filters of the rows that meet are those of one name and one address.
    assert _edges_between(_one_pass(values=3), left, right, secrets) == [1]


def test_who_has_no_further_value_has_the_same_row_and_dummies_beside_it(secrets):
    columns = {k: v[:1] for k, v in COLUMNS.items() if k in SCHEMA.columns}
    one, two = (
        encode(schema, prepare(schema, columns), ["1"], secrets("x")) for schema in (_one_pass(), _one_pass(values=2))
    )
    assert [len(one.rows), len(two.rows)] == [1, 2]
    assert bytes(one.rows[0]) in [bytes(r) for r in two.rows]
    assert two.live_passes.tolist() == [1]
    assert two.missing == (1,)


@pytest.mark.parametrize(
    ("study", "site", "version"),
    [
        (b"hunter2-hunter2", b"\x01" * 32, 1),
        (b"", b"\x01" * 32, 1),
        (b"\x07" * 31, b"\x01" * 32, 1),
        (b"\x07" * 33, b"\x01" * 32, 1),
        (b"\x07" * 32, b"\x01" * 16, 1),
        (b"correct horse battery staple 123", b"\x01" * 32, 1),
        (b"\x07" * 32, b"0123456789abcdef0123456789ABCDEF", 1),
        (b"a" * 32, b"\x01" * 32, 1),
        (b"\x07" * 32, b"\x07" * 32, 1),
        (b"\x07" * 32, b"\x01" * 32, -1),
        (b"\x07" * 32, b"\x01" * 32, 2**32),
    ],
)
def test_a_secret_that_can_be_guessed_is_refused_without_a_quotation(study, site, version):
    with pytest.raises(SecretsError) as e:
        Secrets(study, site, "study", version)
    told = f"{e.value.message} {e.value.hint}"
    assert e.value.code == "bad_secret"
    assert not any(len(s) > 5 and s[:6].decode("latin-1") in told for s in (study, site))

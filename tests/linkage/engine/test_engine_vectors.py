"""The encoding against docs/spec/keyed-passes.md, by an implementation of that page that shares nothing with ours.

`python tests/linkage/engine/test_engine_vectors.py 1` prints the vectors of that file anew, from the slow reference.
"""

import hashlib
import hmac
import json
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

FOLDER = Path(__file__).parents[2] / "vectors" / "linkage"
VECTORS = {"1": FOLDER / "encoding-1.json", "2": FOLDER / "encoding-2.json"}
CASE_KEYS = {"name", "expect", "study_secret", "site_key", "study", "version", "schema", "ids", "values", "components"}
RESULT_KEYS = {"record_numbers", "rows", "refs", "live_passes", "missing", "capped"}


# Group of further values → the parts that one of them replaces.
REPLACES = {"surname": ("S", "s3"), "given_name": ("G", "g3"), "address": ("ad4", "no", "pc")}

# --- the slow reference ---------------------------------------------------------------------------------------------


def u32(x):
    return x.to_bytes(4, "big")


def lp(*parts):
    return b"".join(u32(len(p)) + p for p in parts)


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def subkey(secret, label, study, version):
    info = b"trustcenter/keyed-passes/1/" + label + b"\0" + lp(study.encode()) + u32(version)
    return mac(secret, info + b"\x01")  # HKDF-Expand to one block


def stretch(key, message, n):
    out = b""
    i = 0
    while len(out) < n:
        out += mac(key, message + bytes([i]))
        i += 1
    return out[:n]


def block_values(case, rule, i):
    """Section 3.1: (block value, further value it is made with) in order of preference, none twice, none missing."""
    further = case.get("further", [])
    mine = [[g for g in further if g["group"] == name and g["record"] == i] for name in REPLACES]
    nth = max([len(m) for m in mine], default=0) if rule.get("values", 1) > 1 else 0
    swaps = [None] + [m[k] for k in range(nth) for m in mine if k < len(m)]
    out = []
    for swap in swaps:

        def part(name, swap=swap):
            if name.startswith("{"):
                a, b = sorted(part(p) for p in name[1:-1].split(","))
                return f"{a} {b}" if a else ""
            if swap and name in REPLACES[swap["group"]]:
                return swap["components"][name]
            return case["components"][name][i]

        block = [part(name) for name in rule["parts"]]
        if "" not in block and block not in [b for b, _ in out]:
            out.append((block, swap))
    return out


def swapped(case, i, swap):
    """The values of record i by field, with a further value in place of its own."""
    own = {f["name"]: case["values"][f["name"]][i] for f in case["schema"]["fields"]}
    kinds = {f["name"]: f["kind"] for f in case["schema"]["fields"]}
    return {name: swap["values"].get(kinds[name], value) if swap else value for name, value in own.items()}


def base_filter(schema, values, key):
    bits = [0] * 2048
    for field in schema["fields"]:
        value = values[field["name"]]
        name = field["name"].encode()
        grams = []
        if value and field["grams"] == "bigram":
            padded = "_" + value + "_"
            grams = [lp(name, b"bigram", (x + y).encode()) for x, y in pairwise(padded)]
        elif value:
            grams = [lp(name, b"positional", u32(i), c.encode()) for i, c in enumerate(value)]
        for gram in grams:
            d = stretch(key, gram, 2 * field["k"])
            for i in range(field["k"]):
                bits[(d[2 * i] + 256 * d[2 * i + 1]) % 2048] = 1
    return bits


def row_filter(base, key, nonce, taps):
    stream = Cipher(algorithms.AES(key), modes.CTR(nonce + bytes(8))).encryptor().update(bytes(512 * taps + 32))
    words = [stream[2 * w] + 256 * stream[2 * w + 1] for w in range(256 * taps)]
    mask = stream[512 * taps :]
    out = 0
    for o in range(256):
        bit = (mask[o // 8] >> (o % 8)) & 1
        for i in range(taps):
            bit ^= base[words[taps * o + i] % 2048]
        out |= bit << o
    return out.to_bytes(32, "little")


def reference(case):
    schema, study, version = case["schema"], case["study"], case["version"]
    secret, site = bytes.fromhex(case["study_secret"]), bytes.fromhex(case["site_key"])
    shared = {x: subkey(secret, x, study, version) for x in (b"gram", b"token", b"row", b"stream")}
    record_key, ref_key = subkey(site, b"record", study, 0), subkey(site, b"ref", study, 0)
    dummy_key = subkey(site, b"dummy", study, version)
    n = len(case["ids"])
    numbers = [mac(record_key, lp(i.encode()))[:16] for i in case["ids"]]
    bases = [base_filter(schema, swapped(case, i, None), shared[b"gram"]) for i in range(n)]
    rows, refs, alive, missing, capped = [], [[] for _ in range(n)], [0] * n, [], []
    for rule in schema["passes"]:
        name, several = rule["name"].encode(), rule.get("values", 1)
        blocks = [block_values(case, rule, i)[:several] for i in range(n)]
        counts = Counter(tuple(block) for record in blocks for block, _ in record)
        gone = over = 0
        for i, record in enumerate(blocks):
            for j in range(several):
                block, swap = record[j] if j < len(record) else (None, None)
                if block is None or counts[tuple(block)] > rule["cap"]:
                    gone += block is None
                    over += block is not None
                    filler = stretch(dummy_key, lp(numbers[i], name, *([u32(j)] if j else [])), 48)
                    token, filter_ = filler[:16], filler[16:]
                else:
                    alive[i] += 1
                    value = lp(name, *[p.encode() for p in block])
                    token = mac(shared[b"token"], value)[:16]
                    nonce = mac(shared[b"row"], value)[:8]
                    key = mac(shared[b"stream"], lp(name))
                    base = base_filter(schema, swapped(case, i, swap), shared[b"gram"]) if swap else bases[i]
                    filter_ = row_filter(base, key, nonce, schema["encoding"]["taps"])
                ref = mac(ref_key, lp(numbers[i], name, token, filter_))[:16]
                refs[i].append(ref)
                rows.append(ref + bytes([schema["passes"].index(rule)]) + token + filter_)
        missing.append(gone)
        capped.append(over)
    return {
        "record_numbers": [x.hex() for x in numbers],
        "rows": [x.hex() for x in sorted(rows)],
        "refs": [[x.hex() for x in sorted(r)] for r in refs],
        "live_passes": alive,
        "missing": missing,
        "capped": capped,
    }


# --- what the vectors are made from ---------------------------------------------------------------------------------


def small_schema(taps):
    return {
        "name": "vector/1",
        "profile": "vector",
        "rules": "german/1",
        "phonetics": "cologne",
        "encoding": {"suite": "keyed-passes/1", "base_bits": 2048, "bits": 256, "taps": taps},
        "levels": [25, 51, 76, 102],
        "fields": [
            {"name": "given_name", "kind": "given_name", "grams": "bigram", "k": 4},
            {"name": "surname", "kind": "surname", "grams": "bigram", "k": 20},
            {"name": "birth_date", "kind": "birth_date", "grams": "positional", "k": 2},
        ],
        "passes": [
            {"name": "dob~", "parts": ["y", "md~"], "cap": 1},
            {"name": "dob~+S", "parts": ["y", "md~", "S"], "cap": 10},
        ],
    }


def inputs():
    common = {"study_secret": "5e" * 32, "site_key": "1c" * 32}
    values = {
        "given_name": ["käthe", "ян", "", "o"],
        "surname": ["müller", "źdźbło", "", "li"],
        "birth_date": ["19800229", "19800229", "", "20010101"],
    }
    components = {"y": ["1980", "1980", "", "2001"], "md~": ["0229", "0229", "", "0101"], "S": ["657", "821", "", "5"]}
    people = {"ids": ["KIS-1", "KIS-2", "ü 3", "4"], "values": values, "components": components}
    one = {"ids": ["x"], **{k: {n: v[:1] for n, v in people[k].items()} for k in ("values", "components")}}
    ok = [
        {"name": "caps, missing values, letters of three scripts", "version": 1, "taps": 8, **people},
        {"name": "another number of taps, another version", "version": 4294967295, "taps": 3, **people},
        {"name": "one record", "version": 0, "taps": 8, **one},
    ]
    bad = [
        {"name": "an id twice", "expect": "bad_encode_input", **people, "ids": ["1", "2", "1", "4"]},
        {"name": "fewer ids than records", "expect": "bad_encode_input", **people, "ids": ["1", "2", "3"]},
    ]
    for case in ok:
        case["expect"] = "rows"
    for case in bad:
        case.update(version=1, taps=8)
    return [{"study": "herz-2026", **common, "schema": small_schema(case.pop("taps")), **case} for case in (*ok, *bad)]


def several_values():
    """Two records that know a birth name, one without further values, one with more of them than rows."""
    schema = small_schema(8)
    schema["name"] = "vector/2"
    schema["fields"] += [
        {"name": "street", "kind": "street", "grams": "bigram", "k": 1},
        {"name": "postcode", "kind": "postcode", "grams": "positional", "k": 2},
    ]
    schema["passes"] = [
        {"name": "dob~+S", "parts": ["y", "md~", "S"], "cap": 10, "values": 2},
        {"name": "{g3,s3}", "parts": ["{g3,s3}"], "cap": 1, "values": 3},
        {"name": "S+pc", "parts": ["S", "pc"], "cap": 10, "values": 3},
        {"name": "pc", "parts": ["pc"], "cap": 10},
    ]
    values = {
        "given_name": ["anna", "anna", "kurt", ""],
        "surname": ["huber", "muller", "maier", ""],
        "birth_date": ["19800229", "19800229", "19500607", "19700101"],
        "street": ["ringstr", "hauptstr", "", "am bach"],
        "postcode": ["01067", "50667", "80331", ""],
    }
    components = {
        "y": ["1980", "1980", "1950", "1970"],
        "md~": ["0229", "0229", "0607", "0101"],
        "S": ["017", "657", "67", ""],
        "s3": ["hub", "mul", "mai", ""],
        "g3": ["ann", "ann", "kur", ""],
        "pc": values["postcode"],
        "{g3,s3}": ["ann hub", "ann mul", "kur mai", ""],
    }

    def name(record, value, code):
        return {
            "group": "surname",
            "record": record,
            "values": {"surname": value},
            "components": {"S": code, "s3": value[:3]},
        }

    def given(record, value):
        return {
            "group": "given_name",
            "record": record,
            "values": {"given_name": value},
            "components": {"g3": value[:3], "G": "0"},
        }

    def address(record, street, number, postcode):
        return {
            "group": "address",
            "record": record,
            "values": {"street": street, "house_number": number, "postcode": postcode, "town": ""},
            "components": {"ad4": street[:4], "no": number, "pc": postcode},
        }

    further = [
        *(name(0, "muller", "657"), name(3, "schulz", "858"), name(3, "kunze", "468"), name(3, "huber", "017")),
        *(given(0, "maria"), given(0, "ilse"), given(3, "anna")),
        *(address(1, "ringstr", "3", "01067"), address(3, "", "", "80331")),
    ]
    return [
        {
            "name": "birth names, former addresses, more of them than rows",
            "expect": "rows",
            "study_secret": "a7" * 32,
            "site_key": "c3" * 32,
            "study": "herz-2026",
            "version": 2,
            "schema": schema,
            "ids": ["1", "2", "3", "4"],
            "values": values,
            "components": components,
            "further": further,
        }
    ]


def load():
    cases = [case for path in VECTORS.values() if path.exists() for case in json.loads(path.read_text("utf-8"))]
    for case in cases:
        wanted = CASE_KEYS | (RESULT_KEYS if case["expect"] == "rows" else set())
        wanted |= {"further"} & set(case)
        assert set(case) == wanted, f"{case['name']}: unknown or missing keys"
        assert case["expect"] in {"rows", "bad_encode_input"}
    return cases


CASES = load() if __name__ != "__main__" else []


# --- tests ----------------------------------------------------------------------------------------------------------


def further_of(case):
    """The further values as `prepare` returns them: by column."""
    from linkage.normalise.further import COMPONENTS, KINDS, Further

    out = []
    for group in REPLACES:
        own = [g for g in case.get("further", []) if g["group"] == group]
        values = {k: [g["values"].get(k, "") for g in own] for k in KINDS[group]}
        components = {k: [g["components"].get(k, "") for g in own] for k in COMPONENTS[group]}
        out.append(Further(group, [g["record"] for g in own], values, components))
    return tuple(out)


def run(case):
    from linkage.encode import Secrets, encode
    from linkage.normalise import Prepared
    from linkage.schema import Schema

    schema = Schema.parse(json.dumps(case["schema"]).encode())
    n = len(case["values"]["surname"])
    prepared = Prepared(n, case["values"], case["components"], further=further_of(case))
    secrets = Secrets(
        bytes.fromhex(case["study_secret"]), bytes.fromhex(case["site_key"]), case["study"], case["version"]
    )
    return encode(schema, prepared, case["ids"], secrets)


def test_there_are_vectors():
    assert {c["expect"] for c in CASES} == {"rows", "bad_encode_input"}


@pytest.mark.parametrize("case", [c for c in CASES if c["expect"] == "rows"], ids=lambda c: c["name"])
def test_vector(case):
    expected = {k: case[k] for k in RESULT_KEYS}
    assert reference(case) == expected, "the reference and the vectors disagree"
    encoded = run(case)
    assert {
        "record_numbers": [x.tobytes().hex() for x in encoded.record_numbers],
        "rows": [x.tobytes().hex() for x in encoded.rows],
        "refs": [[x.tobytes().hex() for x in r] for r in encoded.refs],
        "live_passes": encoded.live_passes.tolist(),
        "missing": list(encoded.missing),
        "capped": list(encoded.capped),
    } == expected


@pytest.mark.parametrize("case", [c for c in CASES if c["expect"] != "rows"], ids=lambda c: c["name"])
def test_refused(case):
    from linkage.errors import EncodeInputError

    with pytest.raises(EncodeInputError) as e:
        run(case)
    assert e.value.code == case["expect"]


if __name__ == "__main__":
    cases = {"1": inputs, "2": several_values}[sys.argv[1]]()
    made = [{**c, **(reference(c) if c["expect"] == "rows" else {})} for c in cases]
    json.dump(made, sys.stdout, ensure_ascii=False, indent=1)
    sys.stdout.write("\n")

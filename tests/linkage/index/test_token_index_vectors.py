"""The files of an index against docs/spec/token-index.md, by an implementation of it that shares nothing with ours.

`python tests/linkage/index/test_token_index_vectors.py` prints the vectors anew, from the slow reference.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

VECTORS = Path(__file__).parents[2] / "vectors" / "linkage" / "token-index-1.json"


def example():
    """Two sources, tokens that share first halves, a row of the highest pass, two retired refs."""
    digest = lambda *x: hashlib.sha256(repr(x).encode()).digest()  # noqa: E731
    rows = {"nord": [], "süd": []}
    for name, own in rows.items():
        for i in range(5):
            token = digest("token", i % 2)[:8] + digest("low", i % 3)[:8]
            own.append((digest(name, i)[:16], 14 if i == 4 else i % 2, token, digest("filter", name, i)))
    return rows, [digest("gone", i)[:16] for i in range(2)]


def slow_segment(rows, sources, passes):
    entries = []
    for name, own in rows.items():
        for ref, number, token, bits in own:
            words = [token[:8], token[8:], *(bits[i : i + 8][::-1] for i in range(0, 32, 8)), ref[:8], ref[8:]]
            body = b"".join(w[::-1] for w in words) + sources.index(name).to_bytes(8, "little")
            entries.append((number, token, ref, body))
    entries.sort()
    starts = [sum(e[0] < number for e in entries) for number in range(passes)] + [len(entries)]
    head = b"TCSEGM1\n" + b"".join(x.to_bytes(8, "little") for x in (passes, 0, len(entries)))
    return head + b"".join(x.to_bytes(8, "little") for x in starts) + b"".join(e[3] for e in entries)


def slow_identity(rows, retired):
    text = b""
    for name in sorted(rows, key=str.encode):
        body = [ref + bytes([number]) + token + bits for ref, number, token, bits in sorted(rows[name])]
        text += len(name.encode()).to_bytes(8, "big") + name.encode() + len(body).to_bytes(8, "big") + b"".join(body)
    return hashlib.sha256(text + len(retired).to_bytes(8, "big") + b"".join(sorted(retired))).hexdigest()


def expected():
    rows, retired = example()
    return {
        "rows": {
            name: [(ref + bytes([number]) + token + bits).hex() for ref, number, token, bits in own]
            for name, own in rows.items()
        },
        "retired": [r.hex() for r in retired],
        "identity": slow_identity(rows, retired),
        "segment": slow_segment(rows, sorted(rows, key=str.encode), 15).hex(),
        "list": (b"TCDELS1\n" + b"".join(sorted(retired))).hex(),
    }


def test_vectors_are_those_of_the_reference():
    assert json.loads(VECTORS.read_text()) == expected()


def test_files_are_the_vectors(tmp_path):
    from linkage import load_schema
    from linkage.index import TokenIndex, Window
    from linkage.rows import ROW

    vectors = json.loads(VECTORS.read_text())
    index = TokenIndex.create(tmp_path / "index", "s", 1, load_schema("febrl/1"))
    rows = {name: np.frombuffer(bytes.fromhex("".join(own)), ROW) for name, own in vectors["rows"].items()}
    retired = np.frombuffer(bytes.fromhex("".join(vectors["retired"])), np.uint8).reshape(-1, 16)
    window = Window(rows, retired)
    assert window.identity == vectors["identity"]
    assert index.apply(window)
    assert (index.folder / "seg-0000000001").read_bytes().hex() == vectors["segment"]
    assert (index.folder / "del-0000000001").read_bytes().hex() == vectors["list"]
    manifest = json.loads((index.folder / "manifest.json").read_bytes())
    assert manifest["sources"] == ["nord", "süd"]
    assert manifest["batches"] == [vectors["identity"]]
    assert manifest["segments"] == [
        {
            "name": "seg-0000000001",
            "sequence": 1,
            "n": 10,
            "sha256": hashlib.sha256(bytes.fromhex(vectors["segment"])[32:]).hexdigest(),
        }
    ]
    assert manifest["retired"][0]["sha256"] == hashlib.sha256(bytes.fromhex(vectors["list"])[8:]).hexdigest()
    line = (index.folder / "manifest.json").read_bytes()
    assert line == (json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


if __name__ == "__main__":
    print(json.dumps(expected(), indent=1, ensure_ascii=False))

"""Writes vectors of the log from the specifications alone: nothing of the program is imported.

python tests/audit/make_vectors.py     # writes cosignature.json, bundle2.json, decisions.json, tree-edges.json
"""
# ruff: noqa: E501 - one case, one line

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from typing import Any

from vector_bundles import bundles
from vector_logs import rotated
from vector_parts import (
    EMPTY,
    ONE,
    OTHER,
    SITE,
    TIME,
    WITNESS,
    b64,
    canonical,
    cosigned,
    head,
    key_id,
    line,
    mark,
    note,
    public,
    root,
    vkey,
    write,
)

# --- cosignatures --------------------------------------------------------------------------------


def cosignatures() -> list[dict[str, Any]]:
    text = head(3, hashlib.sha256(b"three").digest())
    signed, own = note(text, ONE), vkey(SITE, WITNESS, 4)
    good = cosigned(text)
    raw = base64.b64decode(good.split(" ")[2])[4:]
    ident = key_id(SITE, 4, public(WITNESS))
    flipped = bytes(byte ^ (at == 40) for at, byte in enumerate(raw))
    sued = cosigned(text, OTHER, name=SITE[:-4] + "sued")
    little = struct.pack("<Q", TIME) + raw[8:]
    cases: list[tuple[Any, ...]] = [
        ("a cosignature", signed + good, "cosigned", TIME),
        ("before the log's signature", text + "\n" + good + signed[len(text) + 1 :], "cosigned", TIME),
        ("two of one witness: the later counts", signed + good + cosigned(text, said=TIME + 60), "cosigned", TIME + 60),
        ("beside one of an unknown witness", signed + sued + good, "cosigned", TIME),
        ("the largest time", signed + cosigned(text, said=2**53), "cosigned", 2**53),
        ("not cosigned", signed, "absent", 0),
        ("cosigned by somebody else only", signed + sued, "absent", 0),
        ("another key of the same name", signed + cosigned(text, OTHER), "absent", 0),
        ("the witness's key as a log's", signed + cosigned(text, kind=1), "absent", 0),
        ("time changed after signing", signed + cosigned(text, said=TIME + 1, told=TIME), "rejected", 0),
        ("time zero", signed + cosigned(text, said=0), "rejected", 0),
        ("time above 2^53", signed + cosigned(text, said=2**53 + 1), "rejected", 0),
        ("signed without the time", signed + line(SITE, ident, raw[:8] + WITNESS.sign(text.encode())), "rejected", 0),
        ("signed under another first line", signed + cosigned(text, magic="cosignature/v2"), "rejected", 0),
        ("over another text", signed + cosigned(text, text=text.replace("\n3\n", "\n4\n")), "rejected", 0),
        ("over the text without its last line end", signed + cosigned(text, text=text[:-1]), "rejected", 0),
        ("no time, signature only", signed + line(SITE, ident, raw[8:]), "rejected", 0),
        ("one byte short", signed + line(SITE, ident, raw[:-1]), "rejected", 0),
        ("one byte long", signed + line(SITE, ident, raw + b"\0"), "rejected", 0),
        ("one good and one wrong line", signed + good + cosigned(text, said=TIME + 1, told=TIME), "rejected", 0),
        ("time little-endian", signed + line(SITE, ident, little), "rejected", 0),
        ("a flipped bit", signed + line(SITE, ident, flipped), "rejected", 0),
        ("not a note", text, "rejected", 0),
        ("verifier key of a log", signed + good, "no witness", 0, vkey(SITE, WITNESS, 1)),
        ("id made with type 1", signed + good, "no witness", 0, own.replace(ident.hex(), key_id(SITE, 1, public(WITNESS)).hex())),
        ("verifier key of 31 bytes", signed + good, "no witness", 0, f"{SITE}+{ident.hex()}+{b64(bytes([4]) + public(WITNESS)[:31])}"),
    ]  # fmt: skip
    return [
        {"name": name, "vkey": other[0] if other else own, "note": text_, "expect": expect, "time": seconds}
        for name, text_, expect, seconds, *other in cases
    ]


# --- decisions of a run --------------------------------------------------------------------------


def decisions() -> list[dict[str, Any]]:
    run, prefix = "4f" * 16, b"trustcenter/linkage-decision/1\0"

    def decision(number: int, erased: bool = False) -> dict[str, Any]:
        salt = bytes([number]) * 16
        detail = {
            "run": run, "a": ["s.nord", number], "b": ["s.sued", 7], "edges": 3, "level_ppm": 912_000,
            "posterior_ppm": 999_000, "class": "match", "by": "service",
        }  # fmt: skip
        text = canonical(detail)
        made = {"number": number, "leaf": hmac.digest(salt, prefix + text, "sha256").hex()}
        return made if erased else {**made, "salt": salt.hex(), "detail": text.decode()}

    def log(made: list[dict[str, Any]], **changes: Any) -> list[str]:
        book = rotated()
        hashes = [hashlib.sha256(b"\0" + bytes.fromhex(one["leaf"])).digest() for one in made]
        told = {"study": "s", "run": run, "window": 1, "decisions": len(made), "decisions_root": root(hashes).hex()}
        book.add("registrar:run:apply", who="service", **{**told, **changes})
        return book.bundle()

    three = [decision(0), decision(1), decision(2)]
    cases: list[tuple[str, list[dict[str, Any]], list[str], str]] = [
        ("three decisions", three, log(three), ""),
        ("one decision", three[:1], log(three[:1]), ""),
        ("no decision", [], log([]), ""),
        ("one was erased", [three[0], decision(1, erased=True), three[2]], log(three), ""),
        ("all were erased", [decision(n, erased=True) for n in range(3)], log(three), ""),
        ("one is missing at the end", three[:2], log(three), "decisions"),
        ("one is missing in between", [three[0], three[2]], log(three), "decision 1"),
        ("two changed places", [three[1], three[0], three[2]], log(three), "decision 0"),
        ("one stands twice", [three[0], three[0], three[1]], log(three), "decision 1"),
        ("another detail", [{**three[0], "detail": three[0]["detail"].replace("match", "possible")}, *three[1:]], log(three), "decision 0"),
        ("another salt", [{**three[0], "salt": "ff" * 16}, *three[1:]], log(three), "decision 0"),
        ("a short salt", [{**three[0], "salt": "00" * 15}, *three[1:]], log(three), "decision 0"),
        ("another leaf", [{"number": 0, "leaf": "ab" * 32}, *three[1:]], log(three), "decisions"),
        ("a detail without a salt", [{**decision(0, erased=True), "detail": three[0]["detail"]}, *three[1:]], log(three), "decision 0"),
        ("a salt without a detail", [{**decision(0, erased=True), "salt": "00" * 16}, *three[1:]], log(three), "decision 0"),
        ("of a run that the log does not tell of", three, log(three[:2]), "decisions"),
        ("another number than the log tells", three, log(three, decisions=4), "decisions"),
        ("of another run than the log tells", three, log(three, run="5a" * 16), "decisions"),
    ]  # fmt: skip
    return [
        {
            "name": name, "decisions": given, "lines": lines, "fingerprint": mark(json.loads(lines[0])["vkey"]),
            "expect": "rejected" if where else "verified", "where": where,
        }
        for name, given, lines, where in cases
    ]  # fmt: skip


# --- proofs: lengths of hashes, sizes 0 and 1, equal sizes ---------------------------------------


def edges() -> list[dict[str, Any]]:
    leaves = [hashlib.sha256(b"\0%d" % n).digest() for n in range(5)]
    tops = [root(leaves[:n]) for n in range(6)]
    short, long = "ab" * 31, "ab" * 33
    path = [h.hex() for h in (leaves[1], hashlib.sha256(b"\x01" + leaves[2] + leaves[3]).digest(), leaves[4])]
    cases: list[dict[str, Any]] = []

    def inclusion(name: str, expect: str, **changes: Any) -> None:
        good = {"index": 0, "size": 5, "hash": leaves[0].hex(), "path": path, "root": tops[5].hex()}
        cases.append({"name": f"edge: {name}", "kind": "inclusion", **good, **changes, "expect": expect})

    def consistency(name: str, expect: str, **changes: Any) -> None:
        good = {"old": 4, "new": 5, "path": [leaves[4].hex()], "old_root": tops[4].hex(), "new_root": tops[5].hex()}
        cases.append({"name": f"edge: {name}", "kind": "consistency", **good, **changes, "expect": expect})

    inclusion("leaf 0 of 5", "valid")
    for name, other in (("31 bytes", short), ("33 bytes", long), ("no bytes", "")):
        inclusion(f"a leaf hash of {name}", "invalid", hash=other)
        inclusion(f"a root of {name}", "invalid", root=other)
        inclusion(f"a first hash of {name}", "invalid", path=[other, *path[1:]])
        inclusion(f"a last hash of {name}", "invalid", path=[*path[:-1], other])
        consistency(f"an older root of {name}", "invalid", old_root=other)
        consistency(f"a newer root of {name}", "invalid", new_root=other)
        consistency(f"a hash of {name}", "invalid", path=[other])
        consistency(f"equal sizes, roots of {name}", "invalid", old=5, path=[], old_root=other, new_root=other)
    one = {"size": 1, "hash": leaves[0].hex(), "root": leaves[0].hex(), "path": []}
    inclusion("a tree of one", "valid", **one)
    inclusion("a tree of one, another root", "invalid", **{**one, "root": tops[2].hex()})
    inclusion("a tree of one with a path", "invalid", **{**one, "path": [leaves[1].hex()]})
    inclusion("index 1 of a tree of one", "invalid", **{**one, "index": 1})
    inclusion("a tree of nothing, empty root", "invalid", **{**one, "size": 0, "root": EMPTY.hex()})
    consistency("4 to 5", "valid")
    consistency("1 to 1", "valid", old=1, new=1, path=[], old_root=tops[1].hex(), new_root=tops[1].hex())
    consistency("1 to 1, other roots", "invalid", old=1, new=1, path=[], old_root=tops[1].hex(), new_root=tops[2].hex())
    consistency("1 to 1 with a path", "invalid", old=1, new=1, old_root=tops[1].hex(), new_root=tops[1].hex())
    consistency("1 to 2", "valid", old=1, new=2, path=[leaves[1].hex()], old_root=tops[1].hex(), new_root=tops[2].hex())
    consistency("0 to 0", "invalid", old=0, new=0, path=[], old_root=EMPTY.hex(), new_root=EMPTY.hex())
    consistency("0 to 1", "invalid", old=0, new=1, path=[], old_root=EMPTY.hex(), new_root=tops[1].hex())
    consistency("0 to 5 with a path", "invalid", old=0, old_root=EMPTY.hex())
    consistency("5 to 5 by an empty path and equal roots", "valid", old=5, path=[], old_root=tops[5].hex())
    consistency("5 to 4", "invalid", old=5, new=4, old_root=tops[5].hex(), new_root=tops[4].hex())
    return cases


if __name__ == "__main__":
    made = "put together by tests/audit/make_vectors.py from the specifications, nothing of the program imported"
    write("cosignature.json", f"C2SP tlog-cosignature; {made}", cosignatures())
    write("bundle2.json", f"docs/spec/audit-bundle.md, checkpoint.md, retention.md, cosignature.md; {made}", bundles())
    write("decisions.json", f"docs/spec/linkage-log.md; {made}", decisions())
    write("tree-edges.json", f"RFC 9162, 2.1.3 and 2.1.4; {made}", edges())

"""Changes of proofs, of the decisions of a run, and of logs that were signed anew: each is found and named."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from audit_support import EVIL, NEXT, fill
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trustcenter.audit import (
    AuditLog,
    Event,
    fingerprint,
    verify_bundle,
    verify_consistency,
    verify_inclusion,
    verify_log,
)
from trustcenter.audit.note import Checkpoint, Key, sign_note
from trustcenter.client.logs.audit_decisions import check
from trustcenter.errors import BundleError, TrustCenterError, VerificationError

MakeLog = Callable[..., AuditLog]
VECTORS = Path(__file__).parents[1] / "vectors" / "audit"


def changed(hashes: list[bytes]) -> Iterator[list[bytes]]:
    """What is done to the hashes of a proof, one at a time."""
    for at, hash_ in enumerate(hashes):
        before, after = hashes[:at], hashes[at + 1 :]
        for spot in range(0, 32, 3):
            yield [*before, hash_[:spot] + bytes([hash_[spot] ^ 1 << spot % 8]) + hash_[spot + 1 :], *after]
        yield [*before, *after]
        yield [*before, hash_, hash_, *after]
        yield [*before, hash_[:-1], *after]
        yield [*before, hash_ + b"\0", *after]
        yield [*before, b"", *after]
        if after:
            yield [*before, after[0], hash_, *after[1:]]


def test_every_change_of_a_proof_is_found(make_log: MakeLog, connection: sqlite3.Connection) -> None:
    log = make_log()
    size = 300  # more than one stored subtree
    log.append_many(connection, [(Event.LOG_EXPORT, {"who": "anna"}) for _ in range(size)])
    root = bytes.fromhex(log.head(connection)[1])
    refused = 0
    for index in (0, 1, 127, 255, 256, 299):
        leaf, path = log.leaf_hash(connection, index), log.inclusion_proof(connection, index)
        verify_inclusion(index, size, leaf, path, root)
        for hashes in changed([leaf, root, *path]):
            if len(hashes) < 2:
                continue
            with pytest.raises(VerificationError):
                verify_inclusion(index, size, hashes[0], hashes[2:], hashes[1])
            refused += 1
    for old in (1, 2, 128, 255, 256, 299):
        before = bytes.fromhex(log.root_at(connection, old))
        path = log.consistency_proof(connection, old)
        verify_consistency(old, size, path, before, root)
        for hashes in changed([before, root, *path]):
            if len(hashes) < 2:
                continue
            with pytest.raises(VerificationError):
                verify_consistency(old, size, hashes[2:], hashes[0], hashes[1])
            refused += 1
    assert refused >= 1_000


def test_every_change_of_a_file_of_decisions_is_found(tmp_path: Path) -> None:
    cases = json.loads((VECTORS / "decisions.json").read_text())["cases"]
    case = next(case for case in cases if case["name"] == "three decisions")
    bundle, target = tmp_path / "log.ndjson", tmp_path / "decisions.ndjson"
    bundle.write_text("".join(line + "\n" for line in case["lines"]))
    lines = [json.dumps(one).encode() + b"\n" for one in case["decisions"]]
    files = [b"".join(lines[:at] + lines[at + 1 :]) for at in range(3)]
    files += [b"".join([*lines[:at], lines[at], *lines[at:]]) for at in range(3)]
    files += [b"".join([lines[1], lines[0], lines[2]]), b"".join(lines)[:-20], b"".join(lines) + b"x"]
    for at, line in enumerate(lines):
        for spot in range(0, len(line) - 1, 7):
            flipped = line[:spot] + bytes([line[spot] ^ 1]) + line[spot + 1 :]
            files.append(b"".join([*lines[:at], flipped, *lines[at + 1 :]]))
    target.write_bytes(b"".join(lines))
    check(target, [bundle], [case["fingerprint"]])
    for content in files:
        target.write_bytes(content)
        with pytest.raises(TrustCenterError):
            check(target, [bundle], [case["fingerprint"]])
    assert len(files) >= 100


@pytest.mark.parametrize("hand", ["a stranger", "the key before", "the key of now, another name"])
def test_a_changed_log_that_is_signed_anew_is_found(
    make_log: MakeLog, connection: sqlite3.Connection, clock: Any, hand: str
) -> None:
    """A forger rewrites an entry, all hashes and the head, and signs with what key there is."""
    log = make_log()
    mark = fingerprint(log.vkey)
    fill(log, connection, clock)
    good = list(log.export(connection))
    keys = {
        "a stranger": (log.origin, EVIL),
        "the key before": (log.origin, Ed25519PrivateKey.from_private_bytes(bytes(range(32)))),
        "the key of now, another name": (log.origin.replace("0f0f", "0e0e"), NEXT),
    }
    name, key = keys[hand]
    size, root = log.head(connection)
    for text in (
        Checkpoint(log.origin, size, bytes(32)).text,
        Checkpoint(log.origin, size, bytes.fromhex(root)).text,
        Checkpoint(log.origin, size - 1, bytes.fromhex(log.root_at(connection, size - 1))).text,
    ):
        note = sign_note(text, Key(name, key.public_key().public_bytes_raw()), key.sign)
        footer = json.dumps({"checkpoint": note}, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        lines = [*good[:-1], footer]
        with pytest.raises(BundleError):
            verify_bundle(io.BytesIO(b"".join(lines)), fingerprint=mark)
        with pytest.raises(verify_log.Broken):
            verify_log.verify(io.BytesIO(b"".join(lines)), mark)

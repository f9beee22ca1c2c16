"""Cosignatures: vectors, both verifiers, quorums, and two histories that one centre shows to two sites."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from audit_support import EVIL, fill
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keys.errors import KeysUsageError
from keys.personal import PersonalKey
from trustcenter.audit import AuditLog, Event, Witnesses, fingerprint, verify_bundle, verify_log
from trustcenter.audit.cosign import (
    Witnessed,
    agreed,
    cosign,
    cosigned_by,
    merged,
    message,
    only,
    parse_witness,
    witness_name,
)
from trustcenter.audit.note import COSIGNATURE, Key, parse_note
from trustcenter.errors import BundleError, VerificationError

MakeLog = Callable[..., AuditLog]
SITES = {
    name: Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n, name in enumerate(("nord", "sued", "ost"), 1)
}


def key_of(log: AuditLog, site: str) -> Key:
    return Key(witness_name(log.origin, site), SITES[site].public_key().public_bytes_raw(), COSIGNATURE)


def signed(log: AuditLog, note: str, site: str, seconds: int = 1_795_766_400) -> str:
    return cosign(note, key_of(log, site), SITES[site].sign, seconds)


def test_cosignature_vectors(cosignature_case: dict[str, Any]) -> None:
    case = cosignature_case
    if case["expect"] == "no witness":
        with pytest.raises(VerificationError):
            parse_witness(case["vkey"])
        with pytest.raises(ValueError):
            verify_log.read_key(case["vkey"], 4)
        return
    key, single = parse_witness(case["vkey"]), verify_log.read_key(case["vkey"], 4)
    if case["expect"] == "rejected":
        with pytest.raises(VerificationError):
            cosigned_by(case["note"], key)
        with pytest.raises((ValueError, InvalidSignature)):
            verify_log.cosigned(case["note"], single)
        return
    assert cosigned_by(case["note"], key) == verify_log.cosigned(case["note"], single) == (case["time"] or None)


def test_notes_are_merged_and_parted(make_log: MakeLog, connection: sqlite3.Connection) -> None:
    log = make_log()
    fill(log, connection)
    note = log.checkpoint(connection)
    nord, sued = signed(log, note, "nord"), signed(log, note, "sued")
    both = merged([nord, sued, nord])
    assert both.count("\u2014") == 3
    assert cosigned_by(both, key_of(log, "nord")) == cosigned_by(both, key_of(log, "sued"))
    assert log.chain(connection).open(both).size == log.head(connection)[0]
    mine = [log.chain(connection).last, key_of(log, "sued")]
    assert only(both, mine) == sued
    with pytest.raises(VerificationError):
        merged([note, note.replace("\n\n", "\nextra\n\n")])


def test_a_quorum_agrees_on_what_its_slowest_member_saw() -> None:
    seen = [Witnessed("a", 30, 1), Witnessed("b", 10, 1), Witnessed("c", 20, 1)]
    assert [agreed(seen, n) for n in range(5)] == [0, 30, 20, 10, 0]


def verified(raw: bytes, log: AuditLog, mark: str, old: list[str], sites: list[str], quorum: int) -> int:
    """What both verifiers say: entries that the quorum saw; raises BundleError."""
    keys = [key_of(log, site) for site in sites]
    single = [verify_log.read_key(key.vkey, 4) for key in keys]
    demanded = Witnesses(tuple(keys), quorum)
    try:
        report = verify_bundle(io.BytesIO(raw), fingerprint=mark, old_checkpoints=old, witnesses=demanded)
    except BundleError as error:
        where = error.where
        with pytest.raises(verify_log.Broken, match=f"'{where}'"):
            verify_log.verify(io.BytesIO(raw), mark, old, single, quorum)
        raise
    found = verify_log.verify(io.BytesIO(raw), mark, old, single, quorum)
    assert found["agreed"] == report.agreed
    assert found["witnesses"] == {one.name: one.size for one in report.witnesses}
    return report.agreed


def test_both_verifiers_demand_the_quorum(make_log: MakeLog, connection: sqlite3.Connection) -> None:
    log = make_log()
    mark = fingerprint(log.vkey)
    old = fill(log, connection)
    raw = b"".join(log.export(connection))
    sizes = [int(note.split("\n")[1]) for note in old]
    heads = [signed(log, old[0], "nord"), signed(log, signed(log, old[1], "nord"), "sued")]
    assert verified(raw, log, mark, heads, ["nord"], 1) == sizes[1]
    assert verified(raw, log, mark, heads, ["nord", "sued"], 2) == sizes[1]
    assert verified(raw, log, mark, [heads[0], signed(log, old[1], "sued")], ["nord", "sued"], 2) == sizes[0]
    assert verified(raw, log, mark, heads, ["nord", "sued", "ost"], 2) == sizes[1]
    assert verified(raw, log, mark, heads, [], 0) == 0
    for sites, quorum in ((["ost"], 1), (["nord", "sued", "ost"], 3)):
        with pytest.raises(BundleError) as caught:
            verified(raw, log, mark, heads, sites, quorum)
        assert caught.value.where == "witnesses"
    empty = f"{log.origin}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    nothing = signed(log, empty + "\n" + log_line(log, empty), "ost")
    with pytest.raises(BundleError) as caught:  # who has seen no entry has seen nothing
        verified(raw, log, mark, [nothing], ["ost"], 1)
    assert caught.value.where == "witnesses"


def log_line(log: AuditLog, text: str) -> str:
    from trustcenter.audit.note import sign_note

    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    return sign_note(text, Key(log.origin, key.public_key().public_bytes_raw()), key.sign)[len(text) + 1 :]


def test_every_change_of_a_cosigned_head_is_found(make_log: MakeLog, connection: sqlite3.Connection) -> None:
    log = make_log()
    mark = fingerprint(log.vkey)
    old = fill(log, connection)
    raw = b"".join(log.export(connection))
    head = signed(log, signed(log, old[1], "nord"), "sued")
    assert verified(raw, log, mark, [head], ["nord", "sued"], 2)
    lines = head.splitlines(keepends=True)
    changed = [head[:at] + chr(ord(head[at]) ^ 1) + head[at + 1 :] for at in range(0, len(head), 3)]
    for at in range(len(lines)):
        changed += ["".join(lines[:at] + lines[at + 1 :]), "".join([*lines[:at], lines[at], *lines[at:]])]
    for first, second in ((3, 4), (4, 5), (5, 6)):
        if second < len(lines):
            swapped = [*lines]
            swapped[first], swapped[second] = swapped[second], swapped[first]
            changed.append("".join(swapped))
    changed += [head[: len(head) // 2], head[:-1], "", head + "x"]
    text = parse_note(old[1]).text
    forged = cosign(old[1], key_of(log, "sued"), EVIL.sign, 1_795_766_400)
    changed += [signed(log, forged, "nord"), head.replace(text, parse_note(old[0]).text)]
    refused = same = 0
    for note in changed:
        try:
            verified(raw, log, mark, [note], ["nord", "sued"], 2)
        except BundleError:
            refused += 1
        else:  # signature lines have no order, and one that stands twice says the same
            same += 1
            assert set(note.splitlines()) == set(head.splitlines())
            assert note.startswith(text + "\n")
    assert refused >= 150
    assert same <= 5


def test_a_log_of_two_histories_cannot_satisfy_both_witnesses(
    make_log: MakeLog, connection: sqlite3.Connection
) -> None:
    log = make_log()
    mark = fingerprint(log.vkey)
    log.append(connection, Event.INSTANCE_INITIALISE, {"instance": "0f" * 16})
    other = sqlite3.connect(":memory:", isolation_level=None)
    connection.commit()
    connection.backup(other)
    exports, heads = [], {}
    for conn, site in ((connection, "nord"), (other, "sued")):
        conn.execute("BEGIN")
        log.append(conn, Event.SITE_CREATE, {"who": "anna", "site": site})
        heads[site] = signed(log, log.checkpoint(conn), site)
        exports.append(b"".join(log.export(conn)))
    for raw, site in zip(exports, heads, strict=True):
        assert verified(raw, log, mark, [heads[site]], [site], 1) == 2
        with pytest.raises(BundleError) as caught:  # one log cannot have both heads
            verified(raw, log, mark, list(heads.values()), ["nord", "sued"], 2)
        assert caught.value.where == "old checkpoint 2"
        with pytest.raises(BundleError) as caught:  # and kept back it is missed
            verified(raw, log, mark, [heads[site]], ["nord", "sued"], 2)
        assert caught.value.where == "witnesses"
    other.close()


def test_a_personal_key_cosigns_and_nothing_else_as_it_is() -> None:
    key = PersonalKey.generate()
    statement = message("origin\n1\nroot\n", 7)
    assert len(key.cosign(statement)) == 64
    for other in (b"", b"cosignature/v1", b"cosignature/v2\n", b"x" + statement):
        with pytest.raises(KeysUsageError):
            key.cosign(other)

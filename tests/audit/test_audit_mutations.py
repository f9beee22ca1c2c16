"""Every change of an export is found and named, by both verifiers; no export that nobody changed is refused."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from audit_support import EVIL, NEXT, fill, forged, hand_over, issue, mutations
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trustcenter.audit import AuditLog, Event, Selection, entries, fingerprint, verify_bundle, verify_log
from trustcenter.audit.note import Key, parse_note, sign_note
from trustcenter.errors import BundleError, VerificationError

MakeLog = Callable[..., AuditLog]
SELECTIONS = (
    Selection(),
    Selection(events=("site:pseudonym:issue",)),
    Selection(site="uk-nord"),
    Selection(events=("operator:domain:close",)),  # none
)


def refused(lines: list[bytes], mark: str, old: list[str]) -> tuple[str, str]:
    """Where both verifiers see the fault."""
    raw = b"".join(lines)
    with pytest.raises(BundleError) as ours:
        verify_bundle(io.BytesIO(raw), fingerprint=mark, old_checkpoints=old)
    with pytest.raises(verify_log.Broken) as single:
        verify_log.verify(io.BytesIO(raw), mark, old)
    return ours.value.where, str(single.value.args[0])


def accepted(lines: list[bytes], mark: str, old: list[str]) -> None:
    report = verify_bundle(io.BytesIO(b"".join(lines)), fingerprint=mark, old_checkpoints=old)
    found = verify_log.verify(io.BytesIO(b"".join(lines)), mark, old)
    assert found["root"] == report.root
    assert found["entries"] == f"{report.entries} of {report.size}"
    assert found["keys"] == list(report.keys)


@pytest.mark.parametrize("room", ["registrar", "comparator"])
@pytest.mark.parametrize("selection", SELECTIONS, ids=["whole", "event", "site", "none"])
def test_every_mutation_is_found_and_named(
    make_log: MakeLog, connection: sqlite3.Connection, clock: Any, room: str, selection: Selection
) -> None:
    whole = selection == Selection() and room == "registrar"
    kinds = battery(make_log(room), connection, clock, selection, flips=32 if whole else 6)
    assert kinds.total() >= (1_000 if whole else 50)


@pytest.mark.soak
@pytest.mark.parametrize("room", ["registrar", "comparator"])
@pytest.mark.parametrize("selection", SELECTIONS, ids=["whole", "event", "site", "none"])
def test_every_byte_matters(
    make_log: MakeLog, connection: sqlite3.Connection, clock: Any, room: str, selection: Selection
) -> None:
    kinds = battery(make_log(room), connection, clock, selection, flips=1_000_000)
    assert kinds["flip"] >= (8_000 if selection == Selection() and room == "registrar" else 500)


def battery(
    log: AuditLog, connection: sqlite3.Connection, clock: Any, selection: Selection, flips: int
) -> Counter[str]:
    """Hold both verifiers against every mutation of an export; how many there were of each kind."""
    mark = fingerprint(log.vkey)
    old = fill(log, connection, clock)
    sizes = [int(note.split("\n")[1]) for note in old]
    lines = list(log.extract(connection, selection, through=sizes))
    accepted(lines, mark, old)
    accepted(lines, mark, [])
    kinds: Counter[str] = Counter()
    for kind, changed in mutations(lines, flips):
        if changed == lines:
            continue
        ours, single = refused(changed, mark, old)
        assert ours, kind
        assert single, kind
        if kind not in {"forge", "flip", "flip high"}:  # one knows the words of events, the other their grammar only
            assert ours == single or {ours, single} <= {"signature", "checkpoint"}, kind
        kinds[kind] += 1
    assert kinds["flip"] >= min(flips, 6) * len(lines)
    return kinds


def test_checkpoints_and_handovers_that_somebody_else_signed(
    make_log: MakeLog, connection: sqlite3.Connection, signer: Ed25519PrivateKey
) -> None:
    log = make_log()
    mark = fingerprint(log.vkey)
    old = fill(log, connection)
    lines = list(log.export(connection))
    header, footer = json.loads(lines[0]), json.loads(lines[-1])

    def rebuilt(head: dict[str, object], foot: dict[str, object]) -> list[bytes]:
        middle = lines[1:-1]
        return [line(head), *middle, line(foot)]

    def line(value: object) -> bytes:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"

    accepted(rebuilt(header, footer), mark, old)
    text = parse_note(footer["checkpoint"]).text
    for key in (EVIL, signer):  # a stranger; the key that has handed over
        foot = {"checkpoint": sign_note(text, Key(log.origin, key.public_key().public_bytes_raw()), key.sign)}
        assert refused(rebuilt(header, foot), mark, old) == ("signature", "checkpoint")
    handover = header["handovers"][0]
    hand_text = parse_note(handover).text
    only_old = sign_note(hand_text, Key(log.origin, signer.public_key().public_bytes_raw()), signer.sign)
    only_new = sign_note(hand_text, Key(log.origin, NEXT.public_key().public_bytes_raw()), NEXT.sign)
    moved = hand_text.replace(hand_text.split("\n")[1], "5", 1)
    for notes in (
        [only_old],
        [only_new],
        [handover, handover],
        [moved],
        [""],
        [handover.replace("next-key", "nextkey")],
    ):
        where = refused(rebuilt({**header, "handovers": notes}, footer), mark, old)
        assert where[0] == where[1]
        assert where[0].startswith("handover ")
    assert refused(rebuilt({**header, "handovers": []}, footer), mark, [])[0].startswith("entry ")
    for note in old:
        changed = note.replace("\n\n", "\nextra\n\n")
        assert refused(lines, mark, [changed])[0] == "old checkpoint 1"
        stranger = sign_note(parse_note(note).text, Key(log.origin, EVIL.public_key().public_bytes_raw()), EVIL.sign)
        assert refused(lines, mark, [stranger]) == ("old checkpoint 1", "old checkpoint 1")
    # The new key must not sign for sizes that the old one answers for, nor the old one for later sizes.
    early = sign_note(parse_note(old[0]).text, Key(log.origin, NEXT.public_key().public_bytes_raw()), NEXT.sign)
    late = sign_note(parse_note(old[-1]).text, Key(log.origin, signer.public_key().public_bytes_raw()), signer.sign)
    for note in (early, late):
        assert refused(lines, mark, [note]) == ("old checkpoint 1", "old checkpoint 1")


def test_a_key_that_had_its_turn_is_not_handed_over_to(
    make_log: MakeLog, connection: sqlite3.Connection, signer: Ed25519PrivateKey
) -> None:
    log = make_log()
    fill(log, connection)
    before = log.head(connection)
    for key in (signer, NEXT):
        with pytest.raises(VerificationError):
            hand_over(log, connection, key)
        assert log.head(connection) == before


@pytest.mark.parametrize(
    ("what", "events"),
    [
        ("serials twice", [(Event.PSEUDONYM_ISSUE, {"first": 15, "count": 1, "epoch": 0, "key_version": 2})]),
        ("serials inside", [(Event.PSEUDONYM_ISSUE, {"first": 3, "count": 2, "epoch": 0, "key_version": 2})]),
        ("serials across", [(Event.PSEUDONYM_ISSUE, {"first": 24, "count": 9, "epoch": 0, "key_version": 2})]),
        ("no serials", [(Event.PSEUDONYM_ISSUE, {"first": 90, "count": 0, "epoch": 0, "key_version": 2})]),
        ("destroyed key", [(Event.PSEUDONYM_ISSUE, {"first": 90, "count": 1, "epoch": 0, "key_version": 1})]),
        ("destroyed twice", [(Event.KEY_DESTROY, {"purpose": "pseudonym", "version": 1})]),
        ("made twice", [(Event.KEY_CREATE, {"purpose": "pseudonym", "version": 2})]),
        ("back from death", [(Event.KEY_ACTIVATE, {"purpose": "pseudonym", "version": 1})]),
        ("from a dead key", [(Event.KEY_ROTATE, {"purpose": "pseudonym", "from_version": 1, "to_version": 3})]),
        ("to a dead key", [(Event.KEY_ROTATE, {"purpose": "pseudonym", "from_version": 2, "to_version": 1})]),
        ("audit key untold", [(Event.KEY_ROTATE, {"purpose": "audit", "to_fingerprint": "1234"})]),
        (
            "one approval",
            [
                (Event.RELEASE_PROPOSE, {"release": "r2"}),
                (Event.RELEASE_APPROVE, {"who": "bert", "release": "r2"}),
                (Event.RELEASE_APPROVE, {"who": "bert", "release": "r2"}),
                (Event.RELEASE_COMPLETE, {"release": "r2"}),
            ],
        ),
        (
            "approved by the proposer",
            [(Event.RELEASE_PROPOSE, {"release": "r2"}), (Event.RELEASE_APPROVE, {"release": "r2"})],
        ),
    ],
)
def test_a_signed_log_that_tells_of_what_must_not_happen(
    make_log: MakeLog, connection: sqlite3.Connection, what: str, events: list[tuple[Event, dict[str, object]]]
) -> None:
    log = make_log()
    mark = fingerprint(log.vkey)
    fill(log, connection)
    accepted(list(log.export(connection)), mark, [])
    for event, fields in events:
        log.append(connection, event, {"who": "anna", "domain": "nord", **fields})
    last = log.head(connection)[0] - 1
    assert refused(list(log.export(connection)), mark, []) == (f"entry {last}", f"entry {last}"), what


def test_ranges_of_other_domains_and_epochs_do_not_meet(make_log: MakeLog, connection: sqlite3.Connection) -> None:
    log = make_log()
    fill(log, connection)
    for fields in ({"epoch": 1}, {"domain": "sued"}, {"first": 70}, {"first": 60}, {"first": 50, "count": 10}):
        whole = {"who": "uk-nord", "domain": "nord", "epoch": 0, "first": 1, "count": 10, "key_version": 2, **fields}
        log.append(connection, Event.PSEUDONYM_ISSUE, whole)
    accepted(list(log.export(connection)), _first(log, connection), [])
    issue(log, connection, 59, 2, version=2)
    assert refused(list(log.export(connection)), _first(log, connection), [])[0].startswith("entry ")


def _first(log: AuditLog, conn: sqlite3.Connection) -> str:
    return fingerprint(log.chain(conn).first.vkey)


def test_an_earlier_head_needs_its_place_in_an_extract(make_log: MakeLog, connection: sqlite3.Connection) -> None:
    log = make_log()
    mark = fingerprint(log.vkey)
    old = fill(log, connection)
    selection = Selection(events=("instance:service:stop",))
    without = list(log.extract(connection, selection))
    assert refused(without, mark, old)[0].startswith("entry ")
    sizes = [int(note.split("\n")[1]) for note in old]
    accepted(list(log.extract(connection, selection, through=sizes)), mark, old)


def test_extracts_by_time_hold_what_lies_in_between(make_log: MakeLog, connection: sqlite3.Connection) -> None:
    log = make_log()
    mark = fingerprint(log.vkey)
    fill(log, connection)
    leaves = [json.loads(line)["leaf"] for line in list(log.export(connection))[1:-1]]
    for low in range(0, len(leaves), 3):
        for high in range(low, len(leaves), 4):
            selection = Selection(since=leaves[low]["time"], until=leaves[high]["time"])
            lines = list(log.extract(connection, selection))
            accepted(lines, mark, [])
            found = [json.loads(line)["leaf"]["seq"] for line in lines if line.startswith(b'{"hash"')]
            assert found == list(range(low, high))
    comparator = make_log("comparator")
    with pytest.raises(ValueError, match="no time"):
        comparator.extract(connection, Selection(since="2026-01-01T00:00:00.000000Z"))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 9, 600])
def test_extracts_of_any_size(make_log: MakeLog, connection: sqlite3.Connection, size: int) -> None:
    log = make_log()
    log.append_many(
        connection, [(Event.SITE_CREATE if n % 5 else Event.LOG_EXPORT, {"who": "anna"}) for n in range(size)]
    )
    for selection in (Selection(events=("auditor:log:export",)), Selection(site="nobody"), Selection(site="anna")):
        for through in ([], [1], [2, 5], [size], list(range(size + 1))):
            accepted(list(log.extract(connection, selection, through=through)), fingerprint(log.vkey), [])


def test_a_forged_entry_in_an_extract_is_caught_by_the_root(make_log: MakeLog, connection: sqlite3.Connection) -> None:
    log = make_log()
    mark = fingerprint(log.vkey)
    fill(log, connection)
    lines = list(log.extract(connection, Selection(events=("site:pseudonym:refused",))))
    (at,) = [n for n, line in enumerate(lines) if line.startswith(b'{"hash"')]
    lines[at] = forged(lines[at], who="uk-sued")
    assert refused(lines, mark, [])[0].startswith("entries ")


@pytest.mark.parametrize(("levels", "good"), [(5, True), (6, False)])
def test_writer_and_both_verifiers_count_the_levels_of_an_entry_alike(levels: int, good: bool) -> None:
    """The entry is the first level, its data the second: six in all (docs/spec/audit-log.md, section 2)."""
    data: dict[str, Any] = {"a": 1}
    for _ in range(levels - 1):
        data = {"a": data}
    said: dict[str, Any] = {
        "v": 1,
        "seq": 0,
        "event": "site:pseudonym:issue",
        "who": "north",
        "outcome": "done",
        "data": data,
    }
    said["time"] = "2026-11-28T12:00:00.000000Z"
    leaf = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    readers = (
        lambda: entries.parse(leaf, "registrar"),
        lambda: verify_log.read_entry(leaf, "registrar"),
        lambda: entries.build("registrar", 0, Event.PSEUDONYM_ISSUE, {"who": "north", **data}, said["time"], 0),
    )
    for read in readers:
        with contextlib.nullcontext() if good else pytest.raises(ValueError, match="deep"):
            read()

"""Changes after a release, at the recipient: open them in order, bring the join map up to date, give codes back.

Works without a service. What is in a batch: docs/spec/changes.md.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from trustcenter.audit import letter
from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import replacing, require_writable
from trustcenter.client.jobs.csvstream import read_columns
from trustcenter.errors import VerificationError
from trustcenter.messages.common import Hex16, Message, Name, Positive

from .joinmap import unsigned

if TYPE_CHECKING:
    from keys.hybrid import RecipientKey
    from trustcenter.client.api import TrustCenter

FORMAT = "trustcenter/changes/1"
MAP_COLUMNS = ("site", "study_pseudonym", "person", "link_quality", "cluster_size")
MapRow = tuple[str, ...]


class SealedBatch(Message, frozen=True, kw_only=True):
    """One batch of a file, still sealed."""

    number: Positive
    sealed: bytes
    letter: str = ""


class ChangesFile(Message, frozen=True, kw_only=True):
    """What the operator carries to the recipient."""

    format: Literal["trustcenter/changes-file/1"]
    study: Name
    recipient: Name
    batches: list[SealedBatch]


class Change(Message, frozen=True, kw_only=True):
    """A person that went over to another, a record that moved, or a record that was withdrawn."""

    kind: Literal["merged", "moved", "withdrawn"]
    person: str
    into: str = ""
    site: str = ""
    pseudonym: str = ""


class Batch(Message, frozen=True, kw_only=True):
    """One opened batch."""

    format: Literal["trustcenter/changes/1"]
    study: Name
    recipient: Name
    number: Positive
    after: int | None = None  # the number before, where that is not this one less 1: the registrar was restored
    code: Annotated[Hex16 | None, msgspec.Meta(description="given back when withdrawals were acted on")]
    changes: list[Change]


@dataclass
class Opened:
    """Everything that was in a file of changes, in order."""

    changes: list[Change] = field(default_factory=list)
    codes: list[tuple[int, str]] = field(default_factory=list)
    last: int = 0


async def fetch(center: TrustCenter, study: str, recipient: str, since: int, target: Path, *, force: bool) -> int:
    """Write the sealed batches after a number into a file for the recipient; returns how many (operator)."""
    require_writable(target, force=force)
    batches: list[SealedBatch] = []
    while True:
        found = await center.changes(study, recipient, since)
        batches.extend(SealedBatch(number=b.number, sealed=b.sealed, letter=b.letter) for b in found.batches)
        since = found.batches[-1].number if found.batches else found.last
        if since >= found.last:
            break
    made = ChangesFile(format="trustcenter/changes-file/1", study=study, recipient=recipient, batches=batches)
    with replacing(target, force=force) as stream:
        stream.write(msgspec.json.encode(made))
    return len(batches)


def open_changes(source: Path, key: RecipientKey, study: str, log_keys: Sequence[str]) -> Opened:
    """Open every batch of a file, if the registrar signed it.

    Args:
        source: what the operator carried.
        key: of the recipient.
        study: that the changes belong to.
        log_keys: fingerprints of the registrar's log, one of which has to be the signer's.

    Raises:
        LocalFileError: the file cannot be read, or is no file of changes.
        SealError: another key or study, or a damaged batch.
        VerificationError: not signed by the registrar; a batch is missing in between, or holds what it was not sealed
            as.
    """
    try:
        held = msgspec.json.decode(source.read_bytes(), type=ChangesFile)
    except OSError:
        raise LocalFileError("the file of changes cannot be read", code="no_input") from None
    except msgspec.MsgspecError:
        raise LocalFileError("this is no file of changes", code="bad_input") from None
    opened, whole = Opened(), False
    for sealed in held.batches:
        info = b"\0".join((FORMAT.encode(), study.encode(), held.recipient.encode(), str(sealed.number).encode()))
        _require_signed(sealed, held.recipient, study, log_keys)
        batch = _batch(key.open(sealed.sealed, info))
        before = batch.number - 1 if batch.after is None else batch.after
        first = opened.last == 0
        # After a restore the batches before it are not those that the recipient may have applied: it needs all.
        whole = before == 0 if first else whole
        in_place = opened.last == before or first
        if (batch.study, batch.number) != (study, sealed.number) or not in_place or not (batch.after is None or whole):
            raise VerificationError(
                "a batch of changes is missing, or out of order",
                code="changes_gap",
                hint="ask the operator for all of them, from the first on: trustcenter study changes",
            )
        opened.last = batch.number
        opened.changes.extend(batch.changes)
        if batch.code is not None:
            opened.codes.append((batch.number, batch.code))
    return opened


def _require_signed(sealed: SealedBatch, recipient: str, study: str, log_keys: Sequence[str]) -> None:
    said = letter.read(sealed.letter)
    if said is None:
        raise unsigned()
    digest = hashlib.sha256(sealed.sealed).hexdigest()
    letter.verify(said, log_keys, letter.Sealed("changes", study, str(sealed.number), digest))
    if said.recipient != recipient:
        raise VerificationError("a batch of changes is for another recipient", code="not_from_registrar")


def _batch(opened: bytes) -> Batch:
    try:
        return msgspec.json.decode(opened, type=Batch)
    except msgspec.MsgspecError:
        raise VerificationError(
            "a batch of changes does not hold what this version of the program knows",
            code="changes_unreadable",
            hint="was it made by a newer version?",
        ) from None


def read_map(source: Path) -> list[MapRow]:
    """The rows of an opened join map. Raises LocalFileError."""
    return list(read_columns(source, MAP_COLUMNS))


def apply(rows: Sequence[MapRow], changes: Sequence[Change]) -> list[MapRow]:
    """A join map after changes: persons renamed, records moved, withdrawn ones gone, sizes counted again.

    The link quality of a record that moved, or is alone now, is not known: it is left empty.

    Changes are applied in order. All of them, from the first on, may be applied to any map of the study: the outcome
    is the state after the last.
    """
    person = {(site, pseudonym): who for site, pseudonym, who, *_ in rows}
    members: dict[str, set[tuple[str, str]]] = {}
    for record, who in person.items():
        members.setdefault(who, set()).add(record)
    moved: set[tuple[str, str]] = set()
    for change in changes:
        if change.kind == "merged":
            for record in members.pop(change.person, set()):
                person[record] = change.into
                members.setdefault(change.into, set()).add(record)
            continue
        record = (change.site, change.pseudonym)
        if record not in person:
            continue
        members[person[record]].discard(record)
        if change.kind == "withdrawn":
            del person[record]
        else:
            person[record] = change.into
            members.setdefault(change.into, set()).add(record)
            moved.add(record)
    sizes = Counter(person.values())
    made = []
    for site, pseudonym, _, quality, _ in rows:
        if (now := person.get((site, pseudonym))) is not None:
            known = sizes[now] > 1 and (site, pseudonym) not in moved
            made.append((site, pseudonym, now, quality if known else "", str(sizes[now])))
    return sorted(made, key=lambda row: (row[2], row[0], row[1]))


def read_codes(source: Path) -> list[tuple[int, str]]:
    """(number, code) of a file that `recipient changes` wrote.

    Raises:
        LocalFileError: it is none, or has no code.
    """
    try:
        found = [(int(number), code) for number, code in read_columns(source, ("number", "code"))]
    except ValueError:
        raise LocalFileError("this is no file of acknowledgement codes", code="bad_input") from None
    if not found:
        raise LocalFileError(
            "the file holds no codes", code="no_codes", hint="nobody was withdrawn: there is nothing to acknowledge"
        )
    return found

"""All records of a study as columns, for a run over everything.

Refs and stored edges go through files in the run's folder: what is held in memory of each record is its columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from trustcenter.messages.rooms import EDGE_BYTES
from trustcenter.store import Connection

from .neighbours import PAIRS
from .pairs import Key
from .reading import RECORD, REFS, Setting
from .subjects import NOBODY

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_ROWS: Final = 50_000  # read at a time


@dataclass(frozen=True)
class Columns:
    """Records, one after the other.

    Attributes:
        serials: (n,) within their domain.
        tags: (n, 16) keyed lookup tag of each one's record number; zeros where there is none.
        persons: (n, 16) of each, as it stands, or `NOBODY`.
        quality: (n,) of each, as it stands; NaN where there is none.
        part: (n,) whether each takes part: has refs, is no decoy, alive, permitted.
    """

    serials: I64
    tags: U8
    persons: U8
    quality: NDArray[np.float64]
    part: Mask

    @classmethod
    def joined(cls, parts: list[Columns]) -> Columns:
        """All of some parts."""
        fields = ("serials", "tags", "persons", "quality", "part")
        return cls(*(np.concatenate([getattr(part, field) for part in parts]) for field in fields))


@dataclass(frozen=True)
class Whole:
    """All records of a study that have not left linkage, ascending by (domain, serial), and what is stored of them.

    Attributes:
        setting: of the study.
        domains: (n,) domain row id of each record.
        sources: (n,) number of each one's source.
        columns: what else there is of each.
        owners: (g,) the record of each group of P refs.
        versions: (g,) the study's version that they are of: a record may have refs of two at a time.
        refs: file of the groups.
        known: (s, 2) the records that each stored edge lies with; -1: not among these.
        stored: file of the stored edges.
    """

    setting: Setting
    domains: I64
    sources: I32
    columns: Columns
    owners: I32
    versions: I64
    refs: Path
    known: I32
    stored: Path

    def __len__(self) -> int:
        return len(self.domains)

    def keys(self, numbers: NDArray[np.integer] | Mask) -> I64:
        """(k, 2) domain row id and serial of some records."""
        return np.stack((self.domains[numbers], self.columns.serials[numbers]), axis=1)

    @classmethod
    def read(cls, conn: Connection, setting: Setting, left_out: frozenset[Key], folder: Path) -> Whole:
        """Of one snapshot; the files lie in `folder`."""
        refs, stored = folder / "refs", folder / "stored"
        ordered = sorted(setting.domains)
        parts, owners, versions = [], [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        at = 0
        with refs.open("wb") as file:
            for domain in ordered:
                out = [serial for where, serial in left_out if where == domain]
                some = _records(conn, domain, np.array(out, np.int64))
                own, of = _groups(conn, setting, domain, some.serials, file)
                has_refs = np.zeros(len(some.serials), np.bool_)
                has_refs[own] = True
                parts.append(replace(some, part=some.part & has_refs))
                owners.append((own + at).astype(np.int32))
                versions.append(of)
                at += len(some.serials)
        counts = [len(part.serials) for part in parts]
        number = {domain: source for source, domain in enumerate(setting.domains)}
        made = cls(
            setting=setting,
            domains=np.repeat(np.array(ordered, np.int64), counts),
            sources=np.repeat(np.array([number[domain] for domain in ordered], np.int32), counts),
            columns=Columns.joined(parts),
            owners=np.concatenate(owners),
            versions=np.concatenate(versions),
            refs=refs,
            known=np.empty((0, 2), np.int32),
            stored=stored,
        )
        with stored.open("wb") as file:
            known = [made.known, *(made._stored(conn, domain, file) for domain in ordered)]
        return replace(made, known=np.concatenate(known))

    def places(self, domains: I64, serials: I64) -> I32:
        """The number of each of some records; -1: not among these."""
        found = np.full(len(domains), -1, np.int32)
        for domain in np.unique(domains).tolist():
            start, end = np.searchsorted(self.domains, [domain, domain + 1]).tolist()
            if start == end:
                continue
            mine = np.flatnonzero(domains == domain)
            own, wanted = self.columns.serials[start:end], serials[mine]
            at = np.minimum(np.searchsorted(own, wanted), len(own) - 1)
            found[mine] = np.where(own[at] == wanted, start + at, -1)
        return found

    def _stored(self, conn: Connection, domain: int, file: IO[bytes]) -> I32:
        """Copy the stored edges whose smaller record is of a domain; (s, 2) the records that each lies with."""
        found = [np.empty((0, 2), np.int32)]
        cursor = conn.execute(f"{PAIRS} WHERE domain_a = ?", (domain,))
        while rows := cursor.fetchmany(_ROWS):
            ends = np.array([row[:4] for row in rows], np.int64)
            pairs = np.stack((self.places(ends[:, 0], ends[:, 1]), self.places(ends[:, 2], ends[:, 3])), axis=1)
            found.append(np.repeat(pairs, [len(row[4]) // EDGE_BYTES for row in rows], axis=0))
            file.write(b"".join([row[4] for row in rows]))
        return np.concatenate(found)


def _records(conn: Connection, domain: int, left_out: I64) -> Columns:
    """Those of a domain; whether they take part as far as can be told without their refs."""
    none = Columns(np.empty(0, np.int64), _table([]), _table([]), np.empty(0), np.empty(0, np.bool_))
    parts = [none]
    cursor = conn.execute(f"{RECORD} AND r.state <> 'unlinked' ORDER BY r.serial", (domain,))
    while rows := cursor.fetchmany(_ROWS):
        serial, _, decoy, status, tag, person, quality = zip(*rows, strict=True)
        serials = np.array(serial, np.int64)
        # Decoys are known here only, and never joined. Without refs a record is dormant.
        able = (np.array(decoy) == 0) & (np.array(status) == 0) & ~np.isin(serials, left_out)
        parts.append(Columns(serials, _table(tag), _table(person), np.array(quality, np.float64), able))
    return Columns.joined(parts)


def _groups(conn: Connection, setting: Setting, domain: int, serials: I64, file: IO[bytes]) -> tuple[I64, I64]:
    """Copy the groups of P refs of a domain; (g,) the place of each one's record among `serials`, and the version.

    Those of a version that is over may still be there, or some of them: it can end while a run is under way.
    """
    own, of = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    known = np.append(serials, -1)  # the last for what is not found
    cursor = conn.execute(f"{REFS} ORDER BY serial, version", (domain,))
    while rows := cursor.fetchmany(_ROWS):
        wanted = np.array([row[0] for row in rows], np.int64)
        at = np.searchsorted(serials, wanted)
        there = known[at] == wanted  # only records that were read have any
        version = np.array([row[1] for row in rows], np.int64)
        there &= np.isin(version, setting.versions)
        own.append(at[there])
        of.append(version[there])
        file.write(b"".join([row[2] for row, chosen in zip(rows, there.tolist(), strict=True) if chosen]))
    return np.concatenate(own), np.concatenate(of)


def _table(values: Sequence[bytes | None]) -> U8:
    """Values of 16 bytes, below one another; zeros where there is none."""
    return np.frombuffer(b"".join([value or NOBODY for value in values]), np.uint8).reshape(-1, 16)

"""Reads a source chunk by chunk and counts.

What is kept per record is a keyed 8-byte hash per pass, in unnamed temporary files under a key that is thrown away:
no value is written, and memory holds one chunk and one pass.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import IO

import msgspec
import numpy as np
from numpy.typing import NDArray

from linkage.check.report import FEW, FieldReport, PassReport, ProfileReport, Report, advise, recommend
from linkage.decide import shipped
from linkage.encode.values import alternatives
from linkage.errors import DensitiesError
from linkage.normalise import Prepared, prepare
from linkage.schema import COMPONENTS, PROFILES, Pass, Schema, load
from linkage.schema import shipped as shipped_schemas
from linkage.tables import Chunk

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]

_PART = 2_000_000  # records whose hashes are sorted at a time
_BUCKETS = 24
_CAPS = {"coarse": 2, "fine": 10}


def check(schema: Schema, chunks: Iterable[Chunk], *, progress: Callable[[int, int], None] | None = None) -> Report:
    """Look at a source under a schema, and under the other known profiles that its fields allow.

    Args:
        schema: that of the study.
        chunks: of the source, as `linkage.readers.read_chunks` gives them.
        progress: called with (passes counted, passes) once all has been read; how far the reading is, `read_chunks`
            tells. May raise to cancel.
    """
    profiles = _profiles(schema)
    passes = list(dict.fromkeys(p for group in profiles.values() for p in group))
    wide = msgspec.structs.replace(schema, profile="check", passes=tuple(passes))
    names = [f.name for f in schema.fields]
    wanted = {*names, *schema.columns}
    key = os.urandom(32)
    missing: Counter[str] = Counter()
    noticed: Counter[str] = Counter()
    further: Counter[str] = Counter()
    n = empty = 0
    with ExitStack() as stack:
        spools = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(len(passes) + 3)]
        for chunk in chunks:
            columns = {k: v for k, v in chunk.columns.items() if k in wanted} or {names[0]: [""] * len(chunk.ids)}
            made = prepare(wide, columns)
            n += made.n
            empty += chunk.ids.count("")
            noticed.update(made.warnings)
            for name in names:
                missing[name] += made.values[name].count("")
            further.update({group.group: len(set(group.record)) for group in made.further})
            hashed = {name: _hashes(made.components[name], key) for name in wide.components}
            for spool, rule in zip(spools, passes, strict=False):
                own = _combined([hashed[part] for part in rule.parts])
                spool.write((own if rule.values == 1 else _several(rule, made, key)).tobytes())
            values = [_hashes(made.values[name], key) for name in names]
            spools[-3].write(_hashes(chunk.ids, key).tobytes())
            spools[-2].write(_combined(values, all_needed=False).tobytes())
            spools[-1].write(_person(schema, made.values, names, values).tobytes())
        live: dict[str, NDArray[np.uint8]] = {}
        reports = []
        for spool, rule in zip(spools, passes, strict=False):
            alive, told = _pass(rule, _back(spool))
            live[rule.name] = alive.reshape(n, rule.values).sum(axis=1, dtype=np.uint8)
            reports.append(told)
            if progress is not None:
                progress(len(reports), len(passes))
        repeated, in_all, person = (_repeats(_back(spool)) for spool in spools[-3:])
    told_profiles = [_profile(name, group, live, n, name == schema.profile) for name, group in profiles.items()]
    fields = [
        FieldReport(
            name=name,
            missing=missing[name],
            noticed={k.split(":")[1]: v for k, v in sorted(noticed.items()) if k.split(":")[0] == name and v},
        )
        for name in names
    ]
    counts = {"records": n, "ids_empty": empty, "ids_repeated": repeated, "same_person": person}
    homes = next((_shared(told) for rule, told in zip(passes, reports, strict=False) if rule.parts == _ADDRESS), 0.0)
    chosen = recommend(told_profiles, reports, n, homes)
    return Report(
        schema=schema.name,
        records=n,
        ids_empty=empty,
        ids_repeated=repeated,
        same_person=person,
        same_in_all=in_all,
        fields=fields,
        further=dict(sorted(further.items())),
        passes=reports,
        profiles=told_profiles,
        recommended=chosen,
        recommended_schema=(named := _schema_of(schema, chosen)),
        advice=advise(fields, reports, told_profiles, chosen, counts, named),
    )


# Profiles of one value a pass, for fields of any site; whoever has more fields or fewer knows it.
_OFFERED = ("hyb15", "fine16", "self15")
_ADDRESS = ("ad4", "no", "pc")


def _profiles(schema: Schema) -> dict[str, tuple[Pass, ...]]:
    """The schema's own passes first; of the known profiles those that its fields allow, each pass under one name."""
    known = {p.parts: p for p in schema.passes if p.values == 1}
    taken = {p.name for p in schema.passes}
    kinds = {f.kind for f in schema.fields}
    out = {schema.profile: schema.passes}
    for name in _OFFERED:
        parts = PROFILES[name]
        if name in out or any(kind not in kinds for p in parts for part in p for kind in COMPONENTS[part]):
            continue
        for one in parts:
            named = "+".join(one)
            named += " (one value)" if named in taken else ""
            known.setdefault(one, Pass(name=named, parts=one, cap=_CAPS["coarse" if len(one) == 1 else "fine"]))
        out[name] = tuple(known[one] for one in parts)
    if schema.several:  # of the same fields, and with further values too
        own = {p.name: p for p in schema.passes}
        for other in _siblings(schema):
            if other.several and all(own.get(p.name, p) == p for p in other.passes):
                out.setdefault(other.profile, other.passes)
    return out


def _siblings(schema: Schema) -> list[Schema]:
    """The schemas that ship with the same fields and rules."""
    every = map(load, shipped_schemas())
    return [s for s in every if (s.fields, s.rules, s.phonetics) == (schema.fields, schema.rules, schema.phonetics)]


def _schema_of(schema: Schema, profile: str) -> str | None:
    """The schema of a profile: the one that was asked about, or one that ships with its fields."""
    if profile == schema.profile:
        return schema.name
    return next((s.name for s in _siblings(schema) if s.profile == profile), None)


def _hashes(column: Sequence[str], key: bytes) -> U64:
    """(n,) u8, equal for equal values; 0 for a missing one."""
    new = hashlib.blake2b
    seen = {"": 0}
    for value in set(column):
        if value:
            digest = new(value.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
            seen[value] = int.from_bytes(digest, "little") or 1
    return np.fromiter(map(seen.__getitem__, column), np.uint64, len(column))


def _several(rule: Pass, made: Prepared, key: bytes) -> U64:
    """(n, values) u8: one hash per block value of each record, 0 where it has none."""
    own = [made.components[part] for part in rule.parts]
    rows = [parts for parts, _ in alternatives(rule, own, made.components, made.further)]
    return np.stack([_combined([_hashes(part, key) for part in parts]) for parts in rows], axis=1)


def _combined(parts: Sequence[U64], *, all_needed: bool = True) -> U64:
    """One hash of several; 0 where one is missing, if all are needed."""
    out = np.zeros(len(parts[0]), np.uint64)
    present = np.ones(len(out), np.bool_)
    for part in parts:
        # A round of splitmix64: keyed by its inputs, which are keyed hashes.
        out = (out ^ part) + np.uint64(0x9E3779B97F4A7C15)
        out = (out ^ (out >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        out = (out ^ (out >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        out ^= out >> np.uint64(31)
        if all_needed:
            present &= part != 0
    return np.where(present, np.maximum(out, np.uint64(1)), np.uint64(0))


def _person(schema: Schema, values: dict[str, list[str]], names: list[str], hashed: list[U64]) -> U64:
    """Both names and a full birth date; 0 where one of them is missing or no such field exists."""
    wanted = [schema.field_of(kind) for kind in ("given_name", "surname", "birth_date")]
    if any(f is None for f in wanted):
        return np.zeros(len(hashed[0]), np.uint64)
    found = [f.name for f in wanted if f is not None]
    out = _combined([hashed[names.index(name)] for name in found])
    full = np.fromiter((len(v) == 8 for v in values[found[2]]), np.bool_, len(out))
    return np.where(full, out, np.uint64(0))


def _back(spool: IO[bytes]) -> U64:
    spool.seek(0)
    return np.fromfile(spool, np.uint64)


def _parts(hashes: U64) -> Iterator[NDArray[np.int64]]:
    """Indices of the present rows, in parts that keep equal hashes together."""
    parts = np.uint64(max(1, -(-len(hashes) // _PART)))
    for part in range(int(parts)):
        yield np.flatnonzero((hashes != 0) & (hashes % parts == np.uint64(part)))


def _pass(rule: Pass, hashes: U64) -> tuple[NDArray[np.bool_], PassReport]:
    live = np.zeros(len(hashes), np.bool_)
    sizes = np.zeros(_BUCKETS, np.int64)
    blocks = largest = 0
    for at in _parts(hashes):
        _, inverse, counts = np.unique(hashes[at], return_inverse=True, return_counts=True)
        live[at] = counts[inverse] <= rule.cap
        blocks += len(counts)
        largest = max(largest, int(counts.max(initial=0)))
        bucket = np.minimum(np.ceil(np.log2(np.maximum(counts, 1))).astype(np.int64), _BUCKETS - 1)
        sizes += np.bincount(bucket, weights=counts, minlength=_BUCKETS).astype(np.int64)
    present, alive = int((hashes != 0).sum()), int(live.sum())
    filled = np.flatnonzero(sizes)
    return live, PassReport(
        name=rule.name,
        cap=rule.cap,
        values=rule.values,
        missing=len(hashes) - present,
        capped=present - alive,
        live=alive,
        blocks=blocks,
        largest=largest,
        sizes=sizes[: filled[-1] + 1].tolist() if len(filled) else [],
    )


def _shared(told: PassReport) -> float:
    """Share of the rows that are not alone in their block."""
    return 1 - told.sizes[0] / sum(told.sizes) if told.sizes else 0.0


def _repeats(hashes: U64) -> int:
    """Records that equal an earlier one."""
    return sum(len(at) - len(np.unique(hashes[at])) for at in _parts(hashes))


def _profile(
    name: str, group: tuple[Pass, ...], live: dict[str, NDArray[np.uint8]], n: int, own: bool
) -> ProfileReport:
    total = np.zeros(n, np.uint8)
    for rule in group:
        total += live[rule.name]
    spread = np.bincount(total, minlength=sum(rule.values for rule in group) + 1)
    try:
        shipped(name)
        densities = True
    except DensitiesError:
        densities = False
    return ProfileReport(
        profile=name,
        own=own,
        passes=[p.name for p in group],
        live=spread.tolist(),
        few=int(spread[:FEW].sum()),
        densities=densities,
    )

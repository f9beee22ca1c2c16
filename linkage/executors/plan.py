"""The plan of a comparison: which files, under which parameters, cut how (docs/spec/chunk-plan.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from linkage.errors import JoinInputError, PlanError
from linkage.files import replace
from linkage.rows import open_rows
from linkage.schema import Schema

PLAN = "plan.json"
BUCKET_ROWS = 1 << 17  # rows of all sources in one bucket: its tokens are sorted inside a processor's cache
CHUNK_ROWS = 1 << 20  # rows in one chunk of two sources: about 150 MB while it runs
_MOST_BITS = 10  # buckets of a pass; with 64 passes a bucket's number still fits 16 bits


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rows file.

    Attributes:
        source: its name.
        path: where it is; not part of the plan's hash, so that a plan may move with its files.
        rows: in it.
        begin: where its body begins.
        sha256: of its body.
    """

    source: str
    path: str
    rows: Annotated[int, msgspec.Meta(ge=0)]
    begin: Annotated[int, msgspec.Meta(ge=0)]
    sha256: str


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every chunk needs to know.

    Attributes:
        format: version of this format.
        study: of all inputs.
        version: of the study secret.
        fingerprint: of the schema.
        levels: upper bounds on differing bits.
        caps: per pass.
        bits: a pass is cut into 2**bits buckets, by the first bits of the token.
        span: buckets in one chunk.
        inputs: in the order in which they were named.
    """

    format: Literal["trustcenter/chunk-plan/2"] = "trustcenter/chunk-plan/2"
    study: str
    version: int
    fingerprint: str
    levels: tuple[int, int, int, int]
    caps: Annotated[tuple[int, ...], msgspec.Meta(min_length=1, max_length=64)]
    bits: Annotated[int, msgspec.Meta(ge=0, le=_MOST_BITS)]
    span: Annotated[int, msgspec.Meta(ge=1)]
    inputs: Annotated[tuple[Input, ...], msgspec.Meta(min_length=2, max_length=1000)]

    @property
    def hash(self) -> str:
        """SHA-256 over the canonical JSON without paths: 64 hex digits; stands in every file of every chunk."""
        bare = tuple(msgspec.structs.replace(i, path="") for i in self.inputs)
        line = msgspec.json.encode(msgspec.structs.replace(self, inputs=bare), order="sorted")
        return hashlib.sha256(line).hexdigest()

    @property
    def buckets(self) -> int:
        """Of all passes; bucket b holds the tokens of pass b >> bits with the prefix b mod 2**bits."""
        return len(self.caps) << self.bits

    @property
    def chunks(self) -> tuple[str, ...]:
        """Names of the chunks that cut the inputs, then of those that compare; the latter need all of the former."""
        return (*self.cuts, *self.joins)

    @property
    def cuts(self) -> tuple[str, ...]:
        """One per input."""
        return tuple(f"cut-{i:05}" for i in range(len(self.inputs)))

    @property
    def joins(self) -> tuple[str, ...]:
        """One per `span` buckets."""
        return tuple(f"join-{i:05}" for i in range(-(-self.buckets // self.span)))

    @property
    def rows(self) -> int:
        """Of all inputs."""
        return sum(i.rows for i in self.inputs)


def make(
    work: Path,
    files: Sequence[Path],
    schema: Schema,
    *,
    bucket_rows: int = BUCKET_ROWS,
    chunk_rows: int = CHUNK_ROWS,
) -> Plan:
    """Plan the comparison of some rows files in a directory of its own; asking again for the same changes nothing.

    Args:
        work: directory, made if need be. It will hold tokens and filters: as much in need of care as the rows files.
        files: two or more rows files of one study.
        schema: under which all were encoded.
        bucket_rows: rows of all sources that a bucket should have.
        chunk_rows: rows that a chunk of two sources should have; bounds its memory. With more sources fewer.

    Raises:
        PlanError: fewer than two files, files that do not belong together or occur twice, another plan in `work`.
        RowsFileError, RowsFileDamagedError: a file is none, or has not the length it promises.
    """
    if len(files) < 2:
        raise PlanError("a comparison needs at least two sources")
    heads = [open_rows(path) for path in files]
    first = heads[0][0]
    if any((h.study, h.version, h.fingerprint) != (first.study, first.version, first.fingerprint) for h, _ in heads):
        raise PlanError(
            "the sources are not of one study, version and schema",
            hint="encode them again, with the same study secret and schema",
        )
    if first.fingerprint != schema.fingerprint or any(h.passes != schema.P for h, _ in heads):
        raise PlanError("the sources were encoded under another schema")
    if where := _twice([h.source for h, _ in heads]):
        raise PlanError("two sources have one name", hint="is one of them there twice?", where=where)
    if where := _twice([h.sha256 if h.n else h.source for h, _ in heads]):
        raise PlanError("two sources have the same rows", hint="a source cannot be compared with itself", where=where)
    plan = plan_of(
        files,
        schema.levels,
        [p.cap for p in schema.passes],
        bucket_rows=bucket_rows,
        chunk_rows=chunk_rows,
    )
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (work / PLAN).exists() and load(work).hash != plan.hash:
        raise PlanError("the working directory belongs to another comparison", hint="take a new one, or empty it")
    replace(work / PLAN, msgspec.json.encode(plan, order="sorted") + b"\n")
    return plan


def _twice(names: Sequence[str]) -> str:
    """Which two are equal, "" if none are."""
    first: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if first.setdefault(name, number) != number:
            return f"sources {first[name]} and {number}"
    return ""


def plan_of(
    files: Sequence[Path],
    levels: tuple[int, int, int, int],
    caps: Sequence[int],
    *,
    bucket_rows: int = BUCKET_ROWS,
    chunk_rows: int = CHUNK_ROWS,
) -> Plan:
    """A plan over files that are known to belong together; arguments as `make`."""
    heads = [open_rows(path) for path in files]
    first = heads[0][0]
    total = sum(h.n for h, _ in heads)
    # Edges per row grow with the number of sources, and they are in memory, too.
    chunk_rows = max(1, 2 * chunk_rows // max(2, len(files)))
    bits = min(_MOST_BITS, max(0, (total // len(caps) // bucket_rows).bit_length()))
    buckets = len(caps) << bits
    return Plan(
        study=first.study,
        version=first.version,
        fingerprint=first.fingerprint,
        levels=levels,
        caps=tuple(caps),
        bits=bits,
        span=max(1, chunk_rows * buckets // total) if total > chunk_rows else buckets,
        inputs=tuple(
            Input(source=h.source, path=str(path.resolve()), rows=h.n, begin=begin, sha256=h.sha256)
            for path, (h, begin) in zip(files, heads, strict=True)
        ),
    )


def load(work: Path) -> Plan:
    """The plan of a working directory.

    Raises:
        PlanError: there is none, or it is damaged.
    """
    try:
        plan = msgspec.json.decode((work / PLAN).read_bytes(), type=Plan)
    except FileNotFoundError:
        raise PlanError("there is no plan in this directory", hint="make one with `trustcenter linkage plan`") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise PlanError("the plan is damaged", hint="make it again in a new directory") from None
    if len(plan.levels) != 4 or list(plan.levels) != sorted(set(plan.levels)):
        raise JoinInputError("there must be four ascending levels below 256")
    return plan

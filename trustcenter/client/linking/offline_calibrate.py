"""Calibration without a service: a site's own counts, and the pool of several sites'."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING

from trustcenter.client.errors import LocalFileError
from trustcenter.errors import CommandLineError, UsageError

if TYPE_CHECKING:
    from linkage.decide import Counts, Densities
    from linkage.schema import Schema

Progress = Callable[[str, int, int], None]

_MOST_BYTES = 1 << 22  # a table of counts has some ten kilobytes
_FEWEST = 200  # records: below, a table says more about single people than about the source


@dataclass(frozen=True)
class Calibrated:
    """What was counted: numbers of pairs, and the hash of the file."""

    profile: str
    grades: tuple[str, ...]
    matches: int
    relatives: int
    strangers: int
    sha256: str


def calibrate_source(
    source: Path | None,
    target: Path,
    *,
    schema_name: str,
    id_column: str | None,
    mapping: Sequence[str] = (),
    delimiter: str | None = None,
    degree: str = "moderate",
    seed: str = "1",
    pooled: Sequence[Path] = (),
    with_shipped: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Calibrated:
    """Count, pool, and write one table.

    `progress` is called with (stage, done, total): read, encode, compare. It may raise to cancel; nothing is written.

    Raises:
        UsageError: neither a source nor tables, a source without id column, or fewer than 200 records.
        LinkageError: the source, the schema, or tables of other passes. LocalFileError: a file.
    """
    from linkage.decide.densities import parse, shipped_counts
    from linkage.decide.weights import groups
    from linkage.schema import load

    if source is None and not pooled and not with_shipped:
        raise CommandLineError("there is nothing to count or to pool", hint="give INPUT or --pool")
    if target.exists() and not force:
        raise LocalFileError("the output exists already", code="output_exists", hint="overwrite with --force")
    schema = load(schema_name)
    tables = [parse(_read(path)) for path in pooled]
    if with_shipped:
        tables.append(shipped_counts(schema.profile))
    if source is not None:
        tables.insert(0, _own(source, schema, id_column, mapping, delimiter, degree, seed, progress))
    made = reduce(add, tables)
    _same_passes(made, schema)
    data = made.encode()
    parse(data)  # what could not be read again is not written
    try:
        target.write_bytes(data)
    except OSError as e:
        raise LocalFileError("the output cannot be written", code="no_directory", hint=e.strerror or "") from None
    every = made.table()[0].sum(axis=(1, 2))
    matches, relatives, strangers = (int(every[part].sum()) for part in groups(len(every), len(made.grades)))
    return Calibrated(made.profile, made.grades, matches, relatives, strangers, hashlib.sha256(data).hexdigest())


def read_densities(path: Path, schema: Schema) -> Densities:
    """The densities of a file of counts, to decide with.

    Raises:
        UsageError: counted with other passes. LinkageError, LocalFileError: the file.
    """
    from linkage.decide.densities import parse, smooth

    counts = parse(_read(path))
    _same_passes(counts, schema)
    return smooth(counts)


def read_shareable(path: Path) -> bytes:
    """A site's own table, as it may leave the site: without a word on how it was made.

    Raises:
        LinkageError: no such table, a pool, or one with small cells. LocalFileError: the file.
    """
    from msgspec.structs import replace

    from linkage.decide.densities import parse
    from linkage.decide.sharing import require_shareable

    counts = parse(_read(path))
    require_shareable(counts)
    return replace(counts, provenance={}).encode()


def _same_passes(counts: Counts, schema: Schema) -> None:
    if (counts.profile, counts.passes) != (schema.profile, schema.P):
        raise UsageError("the tables are of other passes than the schema", code="other_passes")


def _own(
    source: Path,
    schema: Schema,
    id_column: str | None,
    mapping: Sequence[str],
    delimiter: str | None,
    degree: str,
    seed: str,
    progress: Progress | None,
) -> Counts:
    from linkage.calibrate import calibrate
    from linkage.corrupt import corrupted, halves
    from linkage.decide.sharing import shareable
    from linkage.normalise import prepare
    from linkage.readtable import read_table
    from linkage.tables import parse_mapping

    if id_column is None:
        raise CommandLineError("the column of the ids is missing", hint="--id-column")
    table = read_table(
        source,
        id_column=id_column,
        mapping=parse_mapping(mapping) if mapping else None,
        delimiter=delimiter,
        progress=None if progress is None else partial(progress, "read"),
    )
    if len(table) < _FEWEST:
        raise UsageError(
            f"the source has fewer than {_FEWEST} records",
            code="too_few_records",
            hint="the densities that ship are better than counts of so few",
        )
    columns = table.select(schema.columns)
    copy = corrupted(columns, seed=seed, degree=degree)  # type: ignore[arg-type]
    left, right, whose = halves(len(table), seed)
    counts = calibrate(
        schema,
        prepare(schema, {k: [v[i] for i in left] for k, v in columns.items()}),
        prepare(schema, {k: [v[i] for i in right] for k, v in copy.items()}),
        whose,
        provenance={"made": f"own records with a corrupted copy, {degree} errors", "schema": schema.fingerprint},
        progress=progress,
    )
    return shareable(counts)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise LocalFileError("there is no such file of counts", code="no_input") from None
    except OSError as e:
        raise LocalFileError("a file of counts cannot be read", code="no_input", hint=e.strerror or "") from None
    if len(data) > _MOST_BYTES:
        raise LocalFileError("a file of counts is larger than 4 MiB", code="file_too_large")
    return data

"""Linkage without a service: encode a source into files, match several, judge the outcome.

A directory per source holds three files that go three ways: `rows.tcrows` to the comparator, `map.tcmap` to the
registrar, and `ids.csv`, which stays at the site. Formats: docs/spec/rows-file.md.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trustcenter.client.files import replacing
from trustcenter.errors import ConflictError, UsageError

from .comparing import Machines, compared, compared_elsewhere
from .folders import filling, require_directory
from .offline_calibrate import read_densities
from .offline_records import Records, read_ids_of
from .offline_run import OF_ONE, read_parameters, write_outcome, write_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from linkage.encode import Secrets
    from linkage.match import MatchResult
    from linkage.normalise import Prepared
    from linkage.rows import Header
    from linkage.schema import Schema

ROWS: Final = "rows.tcrows"
MAP: Final = "map.tcmap"
IDS: Final = "ids.csv"
Progress = Callable[[str, int, int], None]


@dataclass
class EncodedSource:
    """What an encoding made: counts only."""

    source: str
    records: int
    rows: int
    few_passes: int
    missing: dict[str, int]
    capped: dict[str, int]
    warnings: Counter[str]
    fingerprint: str


def encode_source(
    source: Path,
    target: Path,
    *,
    name: str,
    schema: Schema,
    secrets: Secrets,
    id_column: str,
    mapping: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    duplicates: Path | None = None,
    work: Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> EncodedSource:
    """Encode a CSV, Parquet or NDJSON file into the three files of a source.

    The records that the file `duplicates` names (`linkage dedupe` wrote it) are left out. In the directory `work` the
    rows that are made are kept until the output has taken its place, and an encoding of the same records that was
    stopped goes on; without it nothing stays of one that is stopped. `progress` is called with ("read", read, size of
    the file), then with ("encode", done, total); it may raise to cancel.

    Raises:
        LinkageError: the table, the mapping, or `work`. LocalFileError: the output directory.
    """
    from linkage.dedupe.listing import load_removed
    from linkage.encode import encode_pieces, forget
    from linkage.normalise import prepare
    from linkage.readers import ids_once, read_chunks

    require_directory(target, force=force)
    removed = None if duplicates is None else load_removed(duplicates)[0]

    warnings: Counter[str] = Counter()

    def tick(stage: str) -> Callable[[int, int], None] | None:
        return None if progress is None else partial(progress, stage)

    def read() -> Iterator[tuple[list[str], Prepared]]:
        chunks = ids_once(
            read_chunks(source, id_column=id_column, mapping=mapping, delimiter=delimiter, progress=tick("read"))
        )
        for chunk in chunks if removed is None else removed.apply_to(chunks):
            columns = {f: chunk.columns[f] for f in schema.columns if f in chunk.columns}
            prepared = prepare(schema, columns)
            warnings.update(prepared.warnings)
            yield chunk.ids, prepared

    header: dict[str, str | int] = {
        "study": secrets.study,
        "version": secrets.version,
        "source": name,
        "fingerprint": schema.fingerprint,
        "passes": schema.P,
    }
    with filling(target, force=force) as folder, replacing(folder / IDS) as stream:
        text = io.TextIOWrapper(stream, "utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("id", "record_number"))

        def each(ids: Sequence[str], numbers: NDArray[np.uint8]) -> None:
            writer.writerows(zip(ids, (bytes(number).hex() for number in numbers), strict=True))

        made = encode_pieces(
            schema, read(), secrets, folder / ROWS, folder / MAP, header, each=each, work=work, progress=tick("encode")
        )
        text.detach()
    if work is not None:
        forget(work)
    names = [p.name for p in schema.passes]
    return EncodedSource(
        name,
        made.records,
        made.records * schema.P,
        made.few_passes,
        dict(zip(names, made.missing, strict=True)),
        dict(zip(names, made.capped, strict=True)),
        warnings,
        schema.fingerprint,
    )


def match_directories(
    directories: Sequence[Path],
    target: Path,
    *,
    schema: Schema | None = None,
    not_deduplicated: Sequence[str] = (),
    careful: bool = False,
    machines: Machines | None = None,
    densities: Path | None = None,
    parameters: Path | None = None,
    edges: Sequence[Path] = (),
    force: bool = False,
    progress: Progress | None = None,
) -> MatchResult:
    """Match encoded sources and write `pairs.csv`, `persons.csv`, `run.json` and `parameters.json`.

    Without `schema` it is the shipped one of the files' fingerprint, without `densities` (a file of counts) those that
    ship for it. `parameters` of an earlier outcome stand in place of `densities` and `careful`. With `edges`, files of
    who compared, only the maps are read, and `machines` does not count. Where a directory has `ids.csv`, the outcome
    carries the site's ids. `progress` is called as `linkage.match.match` calls it, and may raise to cancel: with a
    working directory in `machines`, what was compared is kept.

    Raises:
        ConflictError: sources of different studies, versions or schemas. LinkageError: a damaged file, a chunk.
        LocalFileError: the output directory.
    """
    import numpy as np

    from linkage.errors import located
    from linkage.maps import MapRefs, open_map, record_numbers_of
    from linkage.match import Source, match
    from linkage.rows import ROW, open_rows
    from linkage.threads import cores, each

    require_directory(target, force=force)
    headers = []
    for number, directory in enumerate(directories, 1):
        with located(f"directory {number}"):
            head = open_map(directory / MAP)
            if not edges:
                _same_encoding(open_rows(directory / ROWS)[0], head, number)
            headers.append(head)
    _belong_together(headers)

    def source(number: int) -> Source:
        path, name = directories[number] / MAP, headers[number].source
        with located(f"directory {number + 1}"):  # rows and refs stay on the disk
            numbers = record_numbers_of(path)
            return Source(name, np.empty(0, ROW), numbers, MapRefs.of(path), name not in not_deduplicated)

    sources = list(each(source, range(len(directories)), cores()))
    if unknown := set(not_deduplicated) - {h.source for h in headers}:
        raise UsageError(f"{len(unknown)} of the sources that are not deduplicated are not here", code="unknown_source")
    known = schema or _schema_of(headers[0].fingerprint)
    if known.fingerprint != headers[0].fingerprint:
        raise ConflictError("the sources were encoded under another schema", code="wrong_fingerprint")
    counted = None if densities is None else read_densities(densities, known)
    frozen = None if parameters is None else read_parameters(parameters)

    with ExitStack() as stack:
        if not edges:
            files = [directory / ROWS for directory in directories]
            tick = None if progress is None else partial(progress, "compare")
            found = stack.enter_context(compared(files, known, machines or Machines(), target, tick))
        else:
            found = compared_elsewhere(edges, headers[0])
        result = match(sources, known, counted, careful=careful, parameters=frozen, edges=found, progress=progress)
    numbers = [one.record_numbers for one in sources]
    ids = [read_ids_of(directory / IDS, own) for directory, own in zip(directories, numbers, strict=True)]
    written = None if progress is None else partial(progress, "write")
    with filling(target, force=force, stale=OF_ONE) as folder:
        write_outcome(folder, Records(result.names, numbers, ids), result.decided, result.labels, progress=written)
        write_run(folder, result, known, [s.deduplicated for s in sources])
    return result


def _same_encoding(rows: Header, entries: Header, number: int) -> None:
    """Refuse a rows file and a map file that were not made together."""
    if any(getattr(rows, name) != getattr(entries, name) for name in ("study", "version", "source", "fingerprint")):
        raise ConflictError(
            "rows and map of a source are not of one encoding", code="mixed_sources", where=f"directory {number}"
        )


def _belong_together(headers: Sequence[Header]) -> None:
    """Refuse sources that differ from the first one in what all must have in common."""
    first = headers[0]
    for number, head in enumerate(headers[1:], 2):
        for what, here, there in (
            ("study", head.study, first.study),
            ("version of the study secret", head.version, first.version),
            ("schema", head.fingerprint, first.fingerprint),
        ):
            if here != there:
                raise ConflictError(
                    f"two sources are not of one {what}",
                    code="mixed_sources",
                    hint="encode one of them again, with the study secret and the schema of the other",
                    where=f"directories 1 and {number}",
                )


def _schema_of(fingerprint: str) -> Schema:
    from linkage.schema import load, shipped

    for name in shipped():
        if (schema := load(name)).fingerprint == fingerprint:
            return schema
    raise UsageError(
        "the sources were encoded under a schema that is not a shipped one",
        code="unknown_schema",
        hint="give its file with --schema",
    )

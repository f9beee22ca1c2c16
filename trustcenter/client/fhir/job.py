"""A file of resources, one per line: read, asked for, written, in a stream.

Memory is that of a few batches. Line numbers count from 1. Empty lines are left out.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, Final

import msgspec

from trustcenter.client.api import TrustCenter
from trustcenter.client.csvstream import open_input
from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import require_writable
from trustcenter.client.flow import Progress, in_order, same_version
from trustcenter.client.resume import Digests, Resumable, State, check_input
from trustcenter.client.tables import ColumnResult, FailedRow, RowsFailedError

from . import rules
from .transform import FhirRefusedError, FhirRules, Transformed, transform

_LINE_BYTES: Final = 16 * 2**20
_BATCH_BYTES: Final = 4 * 2**20  # bytes of the lines held per batch
# Decimals keep their digits: 1.10 is not 1.1 in FHIR.
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True)
class FhirJob:
    """Which file goes where, and by which rules.

    Attributes:
        source, target: input and output.
        domain: domain of everything that has no other.
        domains: domain by resource type; a type named here is taken although it is not known.
        systems: systems of further identifiers that become pseudonyms.
        pseudonym_system: system of the pseudonyms; None is `urn:uuid:` and the domain's uuid.
        force, failed, resume: as in `ColumnJob`.
    """

    source: Path
    target: Path
    domain: str
    domains: dict[str, str] = field(default_factory=dict)
    systems: frozenset[str] = frozenset()
    pseudonym_system: str | None = None
    force: bool = False
    failed: Path | None = None
    resume: bool = False


@dataclass
class FhirResult(ColumnResult):
    """What a job did; `dropped` counts elements that were left out, by path."""

    dropped: Counter[str] = field(default_factory=Counter)

    def take(self, state: State) -> None:
        """Go on counting where an interrupted job was."""
        super().take(state)
        self.dropped = Counter(state.counts)

    def state(self, position: int, row: int, digest: str) -> State:
        """The counts as part of a checkpoint."""
        state = super().state(position, row, digest)
        state.counts = dict(self.dropped)
        return state


async def pseudonymize_fhir(center: TrustCenter, job: FhirJob, progress: Progress | None = None) -> FhirResult:
    """Pseudonymise an NDJSON file of FHIR R4 resources.

    Raises:
        LocalFileError: input or output; RowsFailedError: lines that were refused.
        TrustCenterError: as `TrustCenter.domain`; every domain is asked for before the file is read.
    """
    _check(job)
    outputs = [job.target, *([job.failed] if job.failed else [])]
    for target in outputs:
        require_writable(target, sources=(job.source,), force=job.force)
    if job.failed is not None and job.failed.resolve() == job.target.resolve():
        raise LocalFileError("output and --skip-failed are the same file", code="same_file")
    result = FhirResult()
    with ExitStack() as stack:
        stream, size = open_input(job.source)
        stack.enter_context(stream)
        uuids = {name: (await center.domain(name)).uuid for name in sorted({job.domain, *job.domains.values()})}
        chosen = FhirRules(
            job.domain,
            job.domains,
            job.systems,
            {name: job.pseudonym_system or f"urn:uuid:{_dashed(uuid)}" for name, uuid in uuids.items()},
        )
        digests = Digests(center.connection.token)
        options = {
            "operation": "fhir/1",
            "url": center.connection.url,
            "domains": uuids,
            "domain": job.domain,
            "types": job.domains,
            "systems": sorted(job.systems),
            "pseudonym_system": job.pseudonym_system,
        }
        every = center.settings.checkpoint_every
        resumable = Resumable(digests, options, outputs, force=job.force, resume=job.resume, every=every)
        stack.enter_context(resumable)
        lines = _Lines(stream, digests.stream())
        if resumable.state is not None:
            lines.skip(resumable.state.position, resumable.state.row)
            check_input(resumable.state, lines.digest)
            result.take(resumable.state)

        async def serve(batch: _Batch) -> None:
            await _ask(center, batch, result)

        batches = _batches(lines, chosen, center.settings.batch)
        async for batch in in_order(batches, serve, center.settings.concurrency):
            _write(batch, resumable, result)
            if progress is not None:
                progress(batch.read, size)
            if resumable.due():
                resumable.save(result.state(batch.read, batch.row, batch.digest))
        if result.failed and job.failed is None:
            raise RowsFailedError(result)
    return result


def _check(job: FhirJob) -> None:
    if any(kind not in rules.RESOURCES or kind in rules.NEVER for kind in job.domains):
        raise LocalFileError("--domain-for does not name a resource that can be taken", code="fhir_bad_option")
    if any(rules.INSURANCE_SYSTEM.match(system) for system in job.systems):
        raise LocalFileError(
            "numbers of a health insurance are removed, never made pseudonyms", code="fhir_insurance_number"
        )
    if job.pseudonym_system is not None and not rules.URI.fullmatch(job.pseudonym_system):
        raise LocalFileError("--pseudonym-system is not an address", code="fhir_bad_option")


def _dashed(uuid: str) -> str:
    return "-".join((uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:]))


class _Lines:
    """Lines with their numbers; feeds a digest with what is read."""

    def __init__(self, stream: IO[bytes], digest: hmac.HMAC) -> None:
        self.digest = digest
        self.read = self.row = 0
        self._stream = stream

    def skip(self, position: int, row: int) -> None:
        while self.read < position and (block := self._stream.read(min(2**20, position - self.read))):
            self._count(block)
        self.row = row

    def __iter__(self) -> Iterator[bytes]:
        while line := self._stream.readline(_LINE_BYTES):
            self.row += 1
            self._count(line)
            if len(line) == _LINE_BYTES and not line.endswith(b"\n"):
                raise LocalFileError("the line is longer than 16 MB", code="bad_row", where=f"line {self.row}")
            if line.strip():
                yield line

    def _count(self, data: bytes) -> None:
        self.read += len(data)
        self.digest.update(data)


@dataclass
class _Batch:
    """Consecutive lines, what became of them, and what is to be asked, by domain."""

    lines: list[tuple[int, bytes, Transformed | FhirRefusedError]] = field(default_factory=list)
    wanted: dict[str, dict[str, str | FailedRow]] = field(default_factory=dict)  # domain → original → answer
    bytes: int = 0
    read: int = 0
    row: int = 0
    digest: str = ""

    def close(self, lines: _Lines) -> _Batch:
        self.read, self.row, self.digest = lines.read, lines.row, lines.digest.hexdigest()
        return self


def _batches(lines: _Lines, chosen: FhirRules, size: int) -> Iterator[_Batch]:
    batch = _Batch()
    for line in lines:
        made = _transformed(line, chosen)
        batch.lines.append((lines.row, line, made))
        batch.bytes += len(line)
        if isinstance(made, Transformed):
            for place in made.places:
                batch.wanted.setdefault(place.domain, {}).setdefault(place.original, "")
        if batch.bytes >= _BATCH_BYTES or max(map(len, batch.wanted.values()), default=0) >= size:
            yield batch.close(lines)
            batch = _Batch()
    if batch.lines:
        yield batch.close(lines)


def _transformed(line: bytes, chosen: FhirRules) -> Transformed | FhirRefusedError:
    try:
        return transform(_DECODER.decode(line), chosen)
    except FhirRefusedError as error:
        return error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return FhirRefusedError("the line is not JSON", code="fhir_not_json")


async def _ask(center: TrustCenter, batch: _Batch, result: FhirResult) -> None:
    for domain, wanted in batch.wanted.items():
        originals = list(wanted)
        for start in range(0, len(originals), center.settings.batch):
            part = originals[start : start + center.settings.batch]
            answer = await center.pseudonymize(domain, part)
            same_version(result.versions, domain, answer.key_version)
            result.created += answer.created
            errors = {error.index: error for error in answer.errors}
            for index, (original, pseudonym) in enumerate(zip(part, answer.pseudonyms, strict=True)):
                if pseudonym is not None and rules.ID.fullmatch(pseudonym):
                    wanted[original] = pseudonym
                elif pseudonym is not None:
                    hint = "use a domain whose pseudonyms have letters, digits, - and . only, at most 64"
                    wanted[original] = FailedRow(0, "fhir_bad_pseudonym", hint)
                else:
                    error = errors.get(index)
                    wanted[original] = FailedRow(
                        0, error.code if error else "item_refused", error.hint if error else ""
                    )


def _write(batch: _Batch, resumable: Resumable, result: FhirResult) -> None:
    for number, line, made in batch.lines:
        result.rows += 1
        failed = FailedRow(number, made.code, made.hint, made.where) if isinstance(made, FhirRefusedError) else None
        if isinstance(made, Transformed):
            failed = _fill(made, batch, number)
        if failed is None:
            assert isinstance(made, Transformed)
            result.dropped.update(made.dropped)
            resumable.outputs[0].write(_ENCODER.encode(made.resource) + b"\n")
        else:
            result.failed.append(failed)
            if len(resumable.outputs) > 1:
                resumable.outputs[1].write(line if line.endswith(b"\n") else line + b"\n")


def _fill(made: Transformed, batch: _Batch, number: int) -> FailedRow | None:
    for place in made.places:
        found = batch.wanted[place.domain][place.original]
        if isinstance(found, FailedRow):
            return FailedRow(number, found.code, found.hint)
        place.into[place.key] = place.prefix + found
    return None

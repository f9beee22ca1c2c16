"""A file of resources, one per line: read, asked for, written, in a stream.

Memory is that of a few batches. Line numbers count from 1. Empty lines are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from trustcenter.client.api import TrustCenter
from trustcenter.client.errors import LocalFileError
from trustcenter.client.flow import Progress, in_order, same_version
from trustcenter.client.jobs.csvstream import open_input
from trustcenter.client.jobs.outcome import ColumnResult, FailedRow, RowsFailedError
from trustcenter.client.jobs.resume import Digests, Resumable, State, check_input
from trustcenter.client.jobs.rowjob import Files
from trustcenter.messages.api import ItemError

from . import rules
from .lines import ENCODER, Batch, Lines, Transform, batches
from .model import FhirRefusedError, FhirRules, Transformed
from .retrace import retrace
from .transform import transform

# Domain and values to answers and errors.
Ask = Callable[[str, Sequence[str]], Awaitable[tuple[Sequence[str | None], Sequence[ItemError]]]]


@dataclass(frozen=True)
class FhirJob:
    """Which file goes where, and by which rules.

    Attributes:
        source, target: input and output.
        domain: domain of everything that has no other.
        domains: domain by resource type; a type named here is taken although it is not known.
        systems: systems of further identifiers that become pseudonyms.
        pseudonym_system: system of the pseudonyms; None is `urn:uuid:` and the domain's uuid.
        force, failed, resume, report: as in `Files`.
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
    report: Path | None = None

    @property
    def files(self) -> Files:
        """Input and outputs."""
        return Files(self.source, self.target, self.failed, self.report, force=self.force, resume=self.resume)


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
    result = FhirResult()

    async def ask(domain: str, values: Sequence[str]) -> tuple[Sequence[str | None], Sequence[ItemError]]:
        answer = await center.pseudonymize(domain, values)
        same_version(result.versions, domain, answer.key_version)
        result.created += answer.created
        return answer.pseudonyms, answer.errors

    return await _run(center, "fhir/1", job, transform, ask, result, progress)


async def translate_fhir(center: TrustCenter, job: FhirJob, progress: Progress | None = None) -> FhirResult:
    """Bring the pseudonyms of pseudonymised resources to the current key version; raises as `pseudonymize_fhir`."""
    result = FhirResult()

    async def ask(domain: str, values: Sequence[str]) -> tuple[Sequence[str | None], Sequence[ItemError]]:
        answer = await center.translate(domain, values)
        same_version(result.versions, domain, answer.key_version)
        return answer.pseudonyms, answer.errors

    return await _run(center, "fhir-translate/1", job, retrace, ask, result, progress)


async def domain_rules(center: TrustCenter, job: FhirJob) -> tuple[FhirRules, dict[str, str]]:
    """The rules of a job, and the uuid of each of its domains.

    Raises:
        LocalFileError: an option. TrustCenterError: a domain that is not there.
    """
    _check(job)
    uuids = {name: (await center.domain(name)).uuid for name in sorted({job.domain, *job.domains.values()})}
    systems = {name: job.pseudonym_system or f"urn:uuid:{_dashed(uuid)}" for name, uuid in uuids.items()}
    return FhirRules(job.domain, job.domains, job.systems, systems), uuids


async def _run(
    center: TrustCenter,
    operation: str,
    job: FhirJob,
    transform: Transform,
    ask: Ask,
    result: FhirResult,
    progress: Progress | None,
) -> FhirResult:
    files = job.files
    files.check()
    with ExitStack() as stack:
        stream, size = open_input(job.source)
        stack.enter_context(stream)
        chosen, uuids = await domain_rules(center, job)
        digests = Digests(center.connection.token)
        options = {
            "operation": operation,
            "url": center.connection.url,
            "domains": uuids,
            "domain": job.domain,
            "types": job.domains,
            "systems": sorted(job.systems),
            "pseudonym_system": job.pseudonym_system,
            "outputs": len(files.outputs),
        }
        every = center.settings.checkpoint_every
        resumable = Resumable(digests, options, files.outputs, force=job.force, resume=job.resume, every=every)
        stack.enter_context(resumable)
        lines = Lines(stream, digests.stream())
        if resumable.state is not None:
            lines.skip(resumable.state.position, resumable.state.row)
            check_input(resumable.state, lines.digest)
            result.take(resumable.state)
        elif job.report is not None:
            resumable.outputs[2].write(b"line,code,element\n")

        async def serve(batch: Batch) -> None:
            await _ask(batch, ask, center.settings.batch)

        async for batch in in_order(
            batches(lines, chosen, transform, center.settings.batch), serve, center.settings.concurrency
        ):
            _write(batch, resumable, result)
            if progress is not None:
                progress(batch.read, size)
            if resumable.due():
                resumable.save(result.state(batch.read, batch.row, batch.digest))
        if result.failures and job.failed is None:
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


async def _ask(batch: Batch, ask: Ask, size: int) -> None:
    for domain, wanted in batch.wanted.items():
        originals = list(wanted)
        for start in range(0, len(originals), size):
            part = originals[start : start + size]
            answers, told = await ask(domain, part)
            errors = {error.index: error for error in told}
            for index, (original, pseudonym) in enumerate(zip(part, answers, strict=True)):
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


def _write(batch: Batch, resumable: Resumable, result: FhirResult) -> None:
    for number, line, made in batch.lines:
        result.rows += 1
        failed = FailedRow(number, made.code, made.hint, made.where) if isinstance(made, FhirRefusedError) else None
        if isinstance(made, Transformed):
            failed = _fill(made, batch, number)
        if failed is None:
            assert isinstance(made, Transformed)
            result.dropped.update(made.dropped)
            resumable.outputs[0].write(ENCODER.encode(made.resource) + b"\n")
        else:
            result.fail(failed.row, failed.code, failed.hint, failed.where)
            if len(resumable.outputs) > 2:
                resumable.outputs[2].write(f"{failed.row},{failed.code},{failed.where}\n".encode())
            if len(resumable.outputs) > 1:
                resumable.outputs[1].write(line if line.endswith(b"\n") else line + b"\n")


def _fill(made: Transformed, batch: Batch, number: int) -> FailedRow | None:
    for place in made.places:
        found = batch.wanted[place.domain][place.original]
        if isinstance(found, FailedRow):
            return FailedRow(number, found.code, found.hint)
        place.into[place.key] = place.prefix + found
    return None

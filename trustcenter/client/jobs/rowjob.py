"""A job over the records of a CSV file: read, asked for and written in a stream, several batches under way at a time.

The outputs appear only when the job has ended. A job that was interrupted after a checkpoint can go on where it
was (`resume`). Memory is that of a few batches, whatever the size of the file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trustcenter.client.api import TrustCenter
from trustcenter.client.errors import LocalFileError
from trustcenter.client.files import require_writable
from trustcenter.client.flow import Progress, in_order
from trustcenter.messages.api import Domain

from .csvdialect import Dialect
from .csvrecords import Chunk, Records, RecordWriter, Row
from .csvstream import open_input
from .outcome import ColumnResult, RowsFailedError
from .resume import Digests, Resumable, check_input

MOST_CHARS: Final = 1024  # of a value that is sent; far above what a service accepts, which it says itself
REPORT_HEADER: Final = b"row,code\n"


@dataclass(frozen=True)
class Files:
    """Input and outputs of a job.

    Attributes:
        source, target: input and output.
        failed: a file that takes the rows that cannot be served, as they are; None makes any such row an error.
        report: a file that takes number and code of each of them; goes with `failed`.
        delimiter: separator; None finds it in the header.
        encoding: charset of input and output, one of `csvrecords.ENCODINGS`.
        force: overwrite outputs.
        resume: go on with an interrupted job of the same options, if there is one.
    """

    source: Path
    target: Path
    failed: Path | None = None
    report: Path | None = None
    delimiter: str | None = None
    encoding: str = "auto"
    force: bool = False
    resume: bool = False

    @property
    def outputs(self) -> list[Path]:
        """Main output first."""
        return [self.target, *(path for path in (self.failed, self.report) if path is not None)]

    def check(self) -> None:
        """Refuse outputs that cannot be, before any work.

        Raises:
            LocalFileError: they exist (without `force`), are one file, or cannot be written.
        """
        for target in self.outputs:
            require_writable(target, sources=(self.source,), force=self.force)
        if len({path.resolve() for path in self.outputs}) < len(self.outputs):
            raise LocalFileError("two outputs are the same file", code="same_file")
        if self.report is not None and self.failed is None:
            raise LocalFileError("--report goes with --skip-failed", code="bad_option")


@dataclass(frozen=True)
class Refused:
    """Why a row cannot be served."""

    code: str
    hint: str


EMPTY: Final = Refused("empty_value", "the field is empty")
RAGGED: Final = Refused("bad_row", "it has another number of fields than the header")
BROKEN: Final = Refused("bad_row", "it is not valid CSV: check its quotes")
UNTOLD: Final = Refused("item_refused", "the service gave no answer for this value")
TOO_LONG: Final = Refused("value_too_long", f"no service takes more than {MOST_CHARS} characters")
NOT_UTF8: Final = Refused("not_utf8", "say what the file is: --encoding cp1252, latin-1 or utf-16")
BAD_TEXT: Final = Refused("bad_encoding", "the field is not in the charset that was said")

Made = bytes | Refused | None  # what is written for a row; None for an empty line


def undecodable(dialect: Dialect) -> Refused:
    """For a field that is not in the charset of its file."""
    return NOT_UTF8 if dialect.encoding == "utf-8" else BAD_TEXT


@dataclass
class Batch:
    """Records, what became of each, and outcomes that count once the batch is written."""

    chunk: Chunk
    made: list[Made] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Work(ABC):
    """What a job does with its records. `open` is called once, then `serve` for batches, several at a time.

    Attributes:
        options: what decides about the output, as part of the identity of a job that may be resumed.
        lasting: it has effects that a second run would have again, or could not see any more.
        listing: the output is no copy of the input, but a list of row numbers and outcomes.
    """

    options: dict[str, object]
    lasting = False
    listing = False

    @abstractmethod
    def open(self, records: Records) -> list[str]:
        """Find and choose columns; names of the columns that are added, or of a listing."""

    def check(self, domain: Domain) -> None:  # noqa: B027 - most jobs have nothing to check
        """Refuse a domain that does not allow what the job would do; nothing was read yet."""

    @abstractmethod
    async def serve(self, batch: Batch) -> None:
        """Fill `made`: for a listing, with outcomes."""


def unserved(row: Row, records: Records, why: Made) -> Made:
    """What to say of a row: that it is none, that it is an empty line, or else `why`."""
    ragged, still_open, broken = row[-3:]
    if still_open or broken:
        return BROKEN
    if ragged:
        return None if ragged in (b"\n", b"\r\n") else RAGGED
    # In a file of one column, an empty line is no record with an empty field.
    return None if len(records.header) == 1 and not any(row[:-4]) else why


async def run(
    center: TrustCenter, name: str, files: Files, work: Work, result: ColumnResult, progress: Progress | None = None
) -> None:
    """Do a job in a domain. `result` counts.

    Raises:
        LocalFileError: input or output; RowsFailedError: rows that failed, and are not set aside.
        TrustCenterError: no such domain, and whatever `work` raises.
    """
    files.check()
    with ExitStack() as stack:
        stream, size = open_input(files.source)
        stack.enter_context(stream)
        digests = Digests(center.connection.token)
        records = Records(stream, size, files.delimiter, files.encoding, digests.stream())
        names = work.open(records)
        domain = await center.domain(name)
        work.check(domain)
        options = {
            **work.options,
            "domain": domain.uuid,
            "url": center.connection.url,
            "delimiter": files.delimiter,
            "encoding": files.encoding,
            "outputs": len(files.outputs),
        }
        resumable = Resumable(
            digests,
            options,
            files.outputs,
            force=files.force,
            resume=files.resume,
            every=0.0 if work.lasting else center.settings.checkpoint_every,
            keep=work.lasting,
        )
        stack.enter_context(resumable)
        writer = _Writer(files, resumable, records, result, listing=work.listing)
        if resumable.state is not None:
            records.skip(resumable.state.position, resumable.state.row)
            check_input(resumable.state, records.digest)
            result.take(resumable.state)
        else:
            writer.headers(names, records)
            if work.lasting:  # before the first effect: its nonce must not be lost
                resumable.save(result.state(records.position, 0, records.digest.hexdigest()))

        async def serve(batch: Batch) -> None:
            await work.serve(batch)

        batches = (Batch(chunk) for chunk in records.chunks(center.settings.batch))
        async for batch in in_order(batches, serve, center.settings.concurrency):
            writer.write(batch)
            if progress is not None:
                progress(batch.chunk.position, size)
            if resumable.due():
                resumable.save(result.state(batch.chunk.position, batch.chunk.last, batch.chunk.digest))
        if result.failures and files.failed is None and not work.listing:
            raise RowsFailedError(result)


class _Writer:
    def __init__(
        self, files: Files, resumable: Resumable, records: Records, result: ColumnResult, *, listing: bool
    ) -> None:
        self.main = resumable.outputs[0]
        self.out = RecordWriter(self.main, records.dialect)
        self.aside = RecordWriter(resumable.outputs[1], records.dialect) if files.failed is not None else None
        self.report = resumable.outputs[2] if files.report is not None else None
        self.result = result
        self.listing = listing

    def headers(self, names: Sequence[str], records: Records) -> None:
        if self.listing:
            self.main.write(",".join(names).encode() + b"\n")
        else:
            self.out.header(records, names)
        if self.aside is not None:
            self.aside.header(records)
        if self.report is not None:
            self.report.write(REPORT_HEADER)

    def write(self, batch: Batch) -> None:
        made = batch.made
        self.result.rows += len(made)
        for name, much in batch.counts.items():
            self.result.count(name, much)
        if self.listing:
            self.list(batch)
        else:
            self.out.raw(b"".join([item for item in made if type(item) is bytes]))
        for i in [i for i, item in enumerate(made) if type(item) is not bytes]:
            item = made[i]
            if item is None:
                self.result.rows -= 1
                continue
            assert isinstance(item, Refused)
            number = batch.chunk.first + i
            self.result.fail(number, item.code, item.hint)
            if self.aside is not None:
                self.aside.raw(b"".join(batch.chunk.rows[i]))
            if self.report is not None:
                self.report.write(b"%d,%b\n" % (number, item.code.encode()))

    def list(self, batch: Batch) -> None:
        lines = []
        for number, item in enumerate(batch.made, batch.chunk.first):
            if item is not None:
                word = item.code.encode() if isinstance(item, Refused) else item
                lines.append(b"%d,%b\n" % (number, word))
        self.main.write(b"".join(lines))

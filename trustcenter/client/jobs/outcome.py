"""What a job over a file did, and which rows it could not serve."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trustcenter.client.errors import LocalFileError

if TYPE_CHECKING:
    from .resume import State

MOST_NAMED: Final = 1000  # failed rows kept in memory; a report file has all of them


@dataclass(frozen=True)
class FailedRow:
    """A row that was not served: its number, the code why, and where in the row, if it has parts."""

    row: int
    code: str
    hint: str
    where: str = ""


@dataclass
class ColumnResult:
    """What a job did.

    A resumed job counts from the beginning of the file. `created` may then count less than there were: what was
    created for rows after the checkpoint exists already.

    Attributes:
        rows: records read, empty lines not counted.
        failed: the first rows that could not be served, at most `MOST_NAMED`.
        failures: how many could not be served.
        created: pseudonyms that did not exist before.
        versions: key version by domain.
        resumed: the row after which a resumed job went on, or 0.
        counts: outcomes by name, for jobs that have several.
        nonce: of this job and whatever resumes it.
    """

    rows: int = 0
    failed: list[FailedRow] = field(default_factory=list)
    created: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
    failures: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def key_version(self) -> int:
        """Key version of the pseudonyms in the output; 0 if there are none."""
        return max(self.versions.values(), default=0)

    def fail(self, row: int, code: str, hint: str, where: str = "") -> None:
        """Count a row that could not be served, and name it if it is among the first."""
        self.failures += 1
        if len(self.failed) < MOST_NAMED:
            self.failed.append(FailedRow(row, code, hint, where))

    def count(self, name: str, much: int = 1) -> None:
        """Count an outcome."""
        self.counts[name] = self.counts.get(name, 0) + much

    def take(self, state: State) -> None:
        """Go on counting where an interrupted job was."""
        self.rows, self.created, self.resumed = state.rows, state.created, state.row
        self.versions, self.counts = dict(state.versions), dict(state.counts)
        self.failed = [FailedRow(*entry) for entry in state.failed]
        self.failures, self.nonce = state.failures, state.nonce

    def state(self, position: int, row: int, digest: str) -> State:
        """The counts as part of a checkpoint."""
        from .resume import State

        return State(
            job="",
            position=position,
            read=digest,
            written=[],
            digests=[],
            row=row,
            rows=self.rows,
            created=self.created,
            versions=self.versions,
            failed=[(f.row, f.code, f.hint, f.where) for f in self.failed],
            failures=self.failures,
            counts=dict(self.counts),
            nonce=self.nonce,
        )


class RowsFailedError(LocalFileError):
    """Some rows could not be served; `result.failed` names the first of them. No output was written."""

    code = "rows_failed"

    def __init__(self, result: ColumnResult) -> None:
        super().__init__(
            f"rows that could not be served: {result.failures:,} of {result.rows:,}; nothing was written",
            hint="correct them, or set them aside with --skip-failed FILE",
        )
        self.result = result

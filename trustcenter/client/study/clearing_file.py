"""A steward's work list as a file: exported, filled in, handed in again.

The columns `answer` and `reason` are empty in the export. A row without an answer stays for later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast, get_args

from trustcenter.client.api import TrustCenter
from trustcenter.client.errors import LocalFileError, RemoteError
from trustcenter.client.jobs.csvstream import read_columns, write_csv
from trustcenter.messages.api import ClearingAnswer, ClearingTask
from trustcenter.messages.words import ClearingReason

Verdict = Literal["same", "different"]
VERDICTS: Final = get_args(Verdict)
REASONS: Final = get_args(ClearingReason)
_HEADER: Final = (
    *("task", "sites", "origin", "joined_now", "records", "edges", "level", "rivals", "sites_say", "waiting_since"),
    *("answer", "reason"),
)
# Somebody else decided it, it went with a run or a record, or others have to decide it.
_OVER: Final = ("task_decided", "unknown_task", "answer_taken_back")
Answer = tuple[int, str, ClearingAnswer]  # row, task


@dataclass(frozen=True)
class HandedIn:
    """What became of a file.

    Attributes:
        answered: answers that were kept, those that had been given before included.
        decided: tasks that are decided with them.
        over: tasks that take no answer, or none of the caller's.
    """

    answered: int
    decided: int
    over: int


def write(target: Path, tasks: Sequence[ClearingTask], *, force: bool = False) -> None:
    """Write a work list.

    Raises:
        LocalFileError: the file exists (without `force`).
    """
    rows = [
        (
            *(t.task, "+".join(t.sites), t.origin, "yes" if t.joined else "no", t.records, t.edges, t.level, t.rivals),
            *("+".join(t.site_answers or ()), t.created[:10], "", ""),
        )
        for t in tasks
    ]
    write_csv(target, _HEADER, rows, force=force)


def read(source: Path) -> list[Answer]:
    """The rows that have an answer.

    Raises:
        LocalFileError: no such file or column, an answer or a reason that is none, or an answer without a reason.
    """
    found: list[Answer] = []
    for number, row in enumerate(read_columns(source, ("task", "answer", "reason")), start=1):
        task, answer, reason = (cell.strip() for cell in row)
        if not answer:
            continue
        if answer not in VERDICTS:
            raise _refused(f"an answer is one of: {', '.join(VERDICTS)}", number)
        if reason not in REASONS:
            raise _refused(f"a reason is one of: {', '.join(REASONS)}", number)
        found.append(
            (number, task, ClearingAnswer(answer=cast("Verdict", answer), reason=cast("ClearingReason", reason)))
        )
    return found


async def hand_in(
    center: TrustCenter, study: str, answers: Sequence[Answer], tick: Callable[[int, int], None] = lambda done, of: None
) -> HandedIn:
    """Give the answers, one by one; the same file again is harmless.

    Raises:
        RemoteError: an answer that differs from one that the steward has given (`where` names the row; those before it
            are kept), or no right to answer.
    """
    decided = over = 0
    for done, (row, task, answer) in enumerate(answers, start=1):
        try:
            decided += (await center.answer_clearing(study, task, answer)).decided
        except RemoteError as error:
            if error.code not in _OVER:
                error.where = error.where or f"row {row}"
                raise
            over += 1
        tick(done, len(answers))
    return HandedIn(len(answers) - over, decided, over)


def _refused(message: str, row: int) -> LocalFileError:
    return LocalFileError(message, code="bad_row", where=f"row {row}")

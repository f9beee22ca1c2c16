"""Asking for the consent of every person of a CSV file: the answer is a CSV file, too."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from trustcenter.client.api import TrustCenter
from trustcenter.client.files import replacing, require_writable

from .consentfile import Progress, Sent, Whose
from .csvstream import CsvInput, open_input

ANSWER_COLUMNS: Final = ("consent", "policy", "name", "status", "since", "until", "dated")
_AT_ONCE: Final = 10_000  # persons of one question, at most


async def query_csv(
    center: TrustCenter,
    whose: Whose,
    source: Path,
    column: str,
    target: Path,
    *,
    pseudonyms: bool,
    policies: Literal["required", "all"],
    delimiter: str | None = None,
    encoding: str = "utf-8",
    force: bool = False,
    progress: Progress | None = None,
) -> Sent:
    """Ask for every person of a column; the answer has a row per person and policy.

    Raises:
        LocalFileError: input or output. TrustCenterError: as `TrustCenter.consents`.
    """
    require_writable(target, sources=(source,), force=force)
    stream, size = open_input(source)
    with stream, replacing(target, force=force) as sink:
        table = CsvInput(stream, delimiter, encoding)
        at = table.column(column)
        text = io.TextIOWrapper(sink, "utf-8", newline="")
        output = csv.writer(text, lineterminator="\n")
        output.writerow([table.header[at], *ANSWER_COLUMNS])
        done = Sent()

        async def ask(rows: Sequence[tuple[int, str]]) -> None:
            asked = [text for _, text in rows]
            if whose.study is not None:
                names = asked if pseudonyms else whose.numbers(asked)
                numbers, texts = (None, asked) if pseudonyms else (names, None)
                answer = await center.record_consents(
                    whose.study, record_numbers=numbers, pseudonyms=texts, policies=policies
                )
            else:
                originals, texts = (None, asked) if pseudonyms else (asked, None)
                answer = await center.consents(
                    whose.domain or "", originals=originals, pseudonyms=texts, policies=policies
                )
            for error in answer.errors:
                done.fail(rows[error.index][0], error)
            for asked_for, found in zip(asked, answer.results, strict=True):
                done.items += 1
                if found is None:
                    continue
                done.counts[found.status] += 1
                for one in found.policies:
                    values = (found.status, one.code, one.name, one.status, one.since, one.until, one.dated)
                    output.writerow([asked_for, *(value or "" for value in values)])

        waiting: list[tuple[int, str]] = []
        for row, fields in table.rows():
            waiting.append((row, fields[at].strip()))
            if len(waiting) >= min(center.settings.batch, _AT_ONCE):
                await ask(waiting)
                waiting.clear()
                if progress is not None:
                    progress(table.read, size)
        if waiting:
            await ask(waiting)
        text.detach()  # flushes, and leaves closing to `replacing`
        return done

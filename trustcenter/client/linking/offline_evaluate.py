"""Judge the outcome of a match without a service: files in, an evaluation out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from linkage.wording import counted
from trustcenter.client.errors import LocalFileError
from trustcenter.client.jobs.csvstream import read_columns, write_csv
from trustcenter.errors import ConflictError, UsageError

from .offline import MAP, ROWS
from .offline_pairs import read_pairs
from .offline_run import PARAMETERS, PERSONS, Run, estimated, projected, read_parameters, read_run

if TYPE_CHECKING:
    from linkage.evaluate import Evaluation, Outcome
    from linkage.evaluate.explain import Explainer
    from linkage.evaluate.passes import SourceRows

SAME: Final = "same"
DIFFERENT: Final = "different"
_LABEL_COLUMNS: Final = ("decision", "source_a", "record_a", "id_a", "source_b", "record_b", "id_b")


class Matched:
    """An outcome, read from its directory.

    Attributes:
        run: what it was made with.
        outcome: pairs and persons, as arrays.
        records: (source, record number, id) of each record.
    """

    def __init__(self, directory: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Read `run.json`, `persons.csv` and `pairs.csv`.

        Args:
            directory: of the outcome.
            progress: called with (bytes read, size) of the pairs; may raise to cancel.

        Raises:
            LocalFileError: a file is missing, or is not one of a match.
        """
        import numpy as np

        from linkage.evaluate import Outcome

        self._directory = directory
        self.run: Run = read_run(directory)
        people = read_columns(directory / PERSONS, ("source", "record_number", "id", "person"))
        self.records = [(source, number, one) for source, number, one, _ in people]
        self._place = {(source, number): i for i, (source, number, _) in enumerate(self.records)}
        names = list(self.run.sources)
        try:
            owner = np.array([names.index(source) for source, _, _ in self.records], np.int64)
            labels = np.array([int(person) for *_, person in people], np.int64)
            table = read_pairs(directory, self._place, progress)
        except (KeyError, ValueError, OverflowError):
            raise LocalFileError(
                "the files of the outcome do not fit each other", code="bad_run", hint="match again"
            ) from None
        self.outcome: Outcome = Outcome(
            table,
            labels,
            owner,
            names,
            cut=self.run.cut,
            comparisons=self.run.counts.get("rows_compared"),
            parameters=msgspec.to_builtins(self.run),
            projected=projected(self.run),
        )

    def explainer(self) -> Explainer:
        """Explains pairs of this outcome.

        Raises:
            LocalFileError: its parameters are missing. LinkageError: they are damaged.
        """
        from linkage.evaluate.explain import Explainer

        return Explainer(self.outcome, estimated(self.run), read_parameters(self._directory / PARAMETERS))

    def record(self, source: str, one: str) -> int:
        """Number of a record by its id or record number.

        Raises:
            UsageError: there is none.
        """
        for i, (own, number, known) in enumerate(self.records):
            if own == source and one and one in (known, number):
                return i
        raise UsageError(
            "the outcome has no such record", code="no_such_record", hint="give the source, then an id or record number"
        )

    def persons(self, truth: Path) -> list[int]:
        """Number of the true person of each record, from a table of (site, id, person).

        Raises:
            UsageError: the outcome carries no ids, or the truth lacks records.
        """
        if any(not one for *_, one in self.records):
            raise UsageError(
                "the outcome carries no ids",
                code="no_ids",
                hint="match again with the ids.csv of every source in place",
            )
        known = {(site, one): person for site, one, person in read_columns(truth, ("site", "id", "person"))}
        lacking = sum((source, one) not in known for source, _, one in self.records)
        if lacking:
            raise UsageError(
                f"not in the truth: {lacking:,} of {counted(len(self.records), 'record')}", code="truth_incomplete"
            )
        people = {person: i for i, person in enumerate(dict.fromkeys(known.values()))}
        return [people[known[source, one]] for source, _, one in self.records]

    def labels(self, path: Path) -> list[tuple[int, bool]]:
        """Positions of labelled pairs and whether they are one person.

        Raises:
            UsageError: a decision is another word, or a pair is not one of the outcome; with the row.
        """
        from linkage.spreadsheet import unguarded

        place = {(int(a), int(b)): k for k, (a, b) in enumerate(self.outcome.pairs[["a", "b"]].tolist())}
        found = []
        wanted = ("decision", "source_a", "record_a", "source_b", "record_b")
        for number, (word, *ends) in enumerate(read_columns(path, wanted), start=1):
            said = word.strip().lower()
            if said not in ("", SAME, DIFFERENT):
                raise UsageError(
                    f"a decision is {SAME}, {DIFFERENT} or nothing", code="bad_label", where=f"row {number}"
                )
            source_a, a, source_b, b = map(unguarded, ends)
            first, second = self._place.get((source_a, a), -1), self._place.get((source_b, b), -1)
            at = place.get((min(first, second), max(first, second)))
            if at is None:
                raise UsageError("the pair is not one of this outcome", code="bad_label", where=f"row {number}")
            if said:
                found.append((at, said == SAME))
        if not found:
            raise UsageError("nothing is labelled yet", code="no_labels", hint="write same or different")
        return found

    def sheet(self, path: Path, size: int, *, force: bool = False) -> int:
        """Write a sheet for labelling: pairs without scores, alike many of every range of posteriors, in an order that
        says nothing. Returns how many.

        Raises:
            LocalFileError: the file exists (without `force`).
        """
        from linkage.evaluate.curves import stratum_of
        from linkage.spreadsheet import guarded

        strata: dict[int, list[tuple[bytes, int]]] = {}
        pairs = self.outcome.pairs
        for k, stratum in enumerate(stratum_of(pairs["posterior"], pairs["class"]).tolist()):
            ends = [self.records[int(pairs[end][k])][1] for end in "ab"]
            strata.setdefault(stratum, []).append((hashlib.sha256(" ".join(ends).encode()).digest(), k))
        chosen: list[tuple[bytes, int]] = []
        for done, group in enumerate(sorted(strata.values(), key=len)):  # what a small stratum lacks, the others give
            share = (size - len(chosen)) // (len(strata) - done)
            chosen += sorted(group)[:share]
        write_csv(
            path,
            _LABEL_COLUMNS,
            (
                ("", *map(guarded, self.records[int(pairs["a"][k])]), *map(guarded, self.records[int(pairs["b"][k])]))
                for _, k in sorted(chosen)
            ),
            force=force,
        )
        return len(chosen)


def evaluate_directory(
    matched: Path | Matched,
    *,
    truth: Path | None = None,
    labels: Path | None = None,
    encoded: Sequence[Path] = (),
) -> Evaluation:
    """Judge the outcome of a match by a truth, by labels, or by its own posteriors.

    Args:
        matched: directory of the outcome, or what was read from it.
        truth: table of (site, id, person).
        labels: a sheet that a person filled in.
        encoded: the directories that were matched, for what each pass does.

    Raises:
        UsageError, ConflictError, LocalFileError: what does not fit. LinkageError: a damaged file.
    """
    from linkage.evaluate import evaluate

    found = matched if isinstance(matched, Matched) else Matched(matched)
    return evaluate(
        found.outcome,
        persons=None if truth is None else found.persons(truth),
        labels=None if labels is None else found.labels(labels),
        rows=_sources(found, encoded) if encoded else None,
        passes=_pass_names(found.run),
    )


def _sources(found: Matched, directories: Sequence[Path]) -> list[SourceRows]:
    from linkage.evaluate.passes import SourceRows
    from linkage.maps import read_map
    from linkage.rows import read_rows

    by_name = {}
    for directory in directories:
        head, rows = read_rows(directory / ROWS)
        _, entries = read_map(directory / MAP)
        if head.fingerprint != found.run.fingerprint:
            raise ConflictError("a source was encoded under another schema", code="wrong_fingerprint")
        by_name[head.source] = SourceRows(rows, entries["refs"])
    names = list(found.run.sources)
    if set(by_name) != set(names) or sum(len(s.refs) for s in by_name.values()) != len(found.records):
        raise ConflictError(
            "these are not the sources that were matched", code="mixed_sources", hint="give the directories of all"
        )
    return [by_name[name] for name in names]


def _pass_names(run: Run) -> list[str]:
    from linkage.errors import LinkageError
    from linkage.schema import load

    try:
        return [p.name for p in load(run.schema).passes]
    except LinkageError:  # a schema of one's own, whose file is not here
        return [f"pass {k + 1}" for k in range(run.passes)]

"""Work of bulk jobs on records: what is asked for, and what is written for each row."""

from __future__ import annotations

import hmac
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from trustcenter.client.api import TrustCenter
from trustcenter.client.errors import LocalFileError
from trustcenter.client.flow import same_version
from trustcenter.errors import PolicyError
from trustcenter.messages.api import Domain, ItemError

from .csvrecords import Records, Row
from .outcome import ColumnResult
from .rowjob import EMPTY, MOST_CHARS, TOO_LONG, Batch, Made, Refused, Work, undecodable, unserved

Verb = Literal["delete", "anonymise"]
Named = Literal["pseudonyms", "originals"]
Item = str | list[str] | Refused | None  # what became of a row that was asked for

_LISTING: Final = ["row", "outcome"]


@dataclass(frozen=True)
class Pairs:
    """Columns of an export of another system."""

    original: str
    pseudonym: str


class _Fields(Work, ABC):
    """Asks with texts of some columns; rows without usable ones are refused here."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns

    def open(self, records: Records) -> list[str]:
        """Find the columns."""
        self._records = records
        at = [records.column(name) for name in self._columns]
        if len(set(at)) < len(at):
            raise LocalFileError("two columns are the same", code="bad_column", where="header")
        order = sorted(at)
        self._places = [2 * order.index(column) + 1 for column in at]
        records.choose(order)
        return self.names()

    def names(self) -> list[str]:
        """Columns of the output."""
        return list(_LISTING)

    def fields(self, row: Row) -> tuple[str, ...] | Made:
        """The texts of a row, in the order of the columns, or why there are none."""
        if not row[-4]:
            return unserved(row, self._records, None)
        texts = []
        for place in self._places:
            text = self._records.dialect.text(row[place])
            if not text:
                why = EMPTY if text == "" else undecodable(self._records.dialect)
                return unserved(row, self._records, why)
            if len(text) > MOST_CHARS:
                return TOO_LONG
            texts.append(text)
        return tuple(texts)

    async def serve(self, batch: Batch) -> None:
        """Ask for the rows that can be."""
        found = [self.fields(row) for row in batch.chunk.rows]
        good = [item for item in found if isinstance(item, tuple)]
        asked = await self.ask(batch, good) if good else []
        batch.counts.update(item for item in asked if isinstance(item, str))
        answers = iter(asked)
        batch.made = [
            self.made(row, next(answers)) if isinstance(item, tuple) else item
            for row, item in zip(batch.chunk.rows, found, strict=True)
        ]

    @abstractmethod
    async def ask(self, batch: Batch, items: list[tuple[str, ...]]) -> Sequence[Item]:
        """What became of each."""

    def made(self, row: Row, item: Item) -> Made:
        """What is written for a row that was asked for."""
        return item.encode() if isinstance(item, str) else item if isinstance(item, Refused) else None


class _Listing(_Fields):
    listing = True

    def __init__(self, columns: Sequence[str], *, dry: bool) -> None:
        super().__init__(columns)
        self._dry = dry
        self.lasting = not dry

    def told(self, results: Sequence[str | None], errors: Sequence[ItemError]) -> list[Item]:
        """What became of each item of an answer."""
        by_index = {error.index: error for error in errors}
        made: list[Item] = []
        for index, outcome in enumerate(results):
            error = by_index.get(index)
            if outcome is None:
                made.append(Refused(error.code, error.hint) if error else Refused("item_refused", ""))
            else:
                made.append(outcome)
        return made


class Import(_Listing):
    """Pairs taken over."""

    def __init__(self, center: TrustCenter, name: str, pairs: Pairs, *, dry: bool) -> None:
        super().__init__((pairs.original, pairs.pseudonym), dry=dry)
        self._center, self._name = center, name
        self.options = {"operation": "import", "original": pairs.original, "pseudonym": pairs.pseudonym, "dry": dry}
        self._drawn = self._multi = False

    def check(self, domain: Domain) -> None:
        """Know how the domain takes imports."""
        self._drawn, self._multi = domain.suite == "drawn", domain.multi

    async def ask(self, batch: Batch, items: list[tuple[str, ...]]) -> Sequence[Item]:
        """Import the pairs, or say what would become of them."""
        if self._dry:
            return self.told(*await self._foresee(items))
        answer = await self._center.import_pairs(self._name, [(o, p) for o, p in items])
        return self.told(answer.results, answer.errors)

    async def _foresee(self, items: list[tuple[str, ...]]) -> tuple[list[str | None], list[ItemError]]:
        """What the service would answer, as far as it can be seen without an import and without an original."""
        held = await self._center.get_pseudonyms(self._name, [original for original, _ in items])
        live = await self._center.validate(self._name, [pseudonym for _, pseudonym in items])
        results: list[str | None] = []
        errors: list[ItemError] = []
        invalid = {e.index: e for e in held.errors if e.code != "unknown_original"}
        for index, ((_, pseudonym), own, state) in enumerate(zip(items, held.pseudonyms, live.results, strict=True)):
            outcome: str | None = "new"
            if index in invalid:
                errors.append(invalid[index])
                outcome = None
            elif own == pseudonym:
                outcome = "present"
            elif state == "ok":
                # In a computed domain a live one may be this pair or another's: that is seen at the import only.
                outcome = None if self._drawn else "known"
                if outcome is None:
                    errors.append(ItemError(index=index, code="pseudonym_taken"))
            elif own is not None and self._drawn and not self._multi:
                errors.append(ItemError(index=index, code="original_has_another"))
                outcome = None
            results.append(outcome)
        return results, errors


class Removal(_Listing):
    """Pseudonyms deleted or anonymised."""

    def __init__(self, center: TrustCenter, name: str, verb: Verb, column: str, named: Named, *, dry: bool) -> None:
        super().__init__((column,), dry=dry)
        self._center, self._name, self._verb, self._named = center, name, verb, named
        self.options = {"operation": verb, "column": column, "named": named, "dry": dry}

    def check(self, domain: Domain) -> None:
        """Deletion is for domains that allow it."""
        if self._verb == "delete" and not domain.deletable:
            raise PolicyError(
                "pseudonyms of this domain are not deleted",
                code="not_deletable",
                hint="anonymise drops the way back to the original instead",
            )

    async def ask(self, batch: Batch, items: list[tuple[str, ...]]) -> Sequence[Item]:
        """Remove, or say what would be removed."""
        values = [value for (value,) in items]
        # The same value twice in a request would be told twice that it was removed: the first row stands for both.
        distinct = list(dict.fromkeys(values))
        results, errors = await (self._foresee(distinct) if self._dry else self._remove(distinct))
        made = dict(zip(distinct, self.told(results, errors), strict=True))
        return [made[value] for value in values]

    async def _remove(self, values: list[str]) -> tuple[Sequence[str | None], Sequence[ItemError]]:
        call = self._center.delete if self._verb == "delete" else self._center.anonymise
        answer = await (
            call(self._name, pseudonyms=values) if self._named == "pseudonyms" else call(self._name, originals=values)
        )
        return answer.results, answer.errors

    async def _foresee(self, values: list[str]) -> tuple[Sequence[str | None], Sequence[ItemError]]:
        would = f"would {self._verb}"
        if self._named == "originals":
            held = await self._center.get_pseudonyms(self._name, values)
            return [None if one is None else would for one in held.pseudonyms], held.errors
        states = (await self._center.validate(self._name, values)).results
        errors = [ItemError(index=i, code=state) for i, state in enumerate(states) if state != "ok"]
        return [would if state == "ok" else None for state in states], errors


class _Columns(_Fields):
    """The input with further columns."""

    def __init__(self, column: str, new: Sequence[str]) -> None:
        super().__init__((column,))
        self._new = list(new)

    def names(self) -> list[str]:
        """The further columns."""
        if set(self._new) & set(self._records.header):
            raise LocalFileError("there is a column of the new name already", code="bad_column", where="header")
        return self._new

    def made(self, row: Row, item: Item) -> Made:
        """The row, lengthened."""
        if not isinstance(item, list):
            return item if isinstance(item, Refused) else None
        dialect = self._records.dialect
        cells = [dialect.field(text, quoted=row[1][:1] == b'"') for text in item]
        delimiter = dialect.delimiter.encode()
        return b"".join(row[:3]) + b"".join(delimiter + cell for cell in cells) + row[3]


class Validate(_Columns):
    """A column that says what each pseudonym is."""

    def __init__(self, center: TrustCenter, name: str, column: str, into: str) -> None:
        super().__init__(column, [into])
        self._center, self._name = center, name
        self.options = {"operation": "validate", "column": column, "into": into}

    async def ask(self, batch: Batch, items: list[tuple[str, ...]]) -> Sequence[Item]:
        """The state of each."""
        answer = await self._center.validate(self._name, [value for (value,) in items])
        batch.counts.update(answer.results)
        return [[state] for state in answer.results]


class Additional(_Columns):
    """Columns with more pseudonyms."""

    lasting = True

    def __init__(
        self, center: TrustCenter, name: str, column: str, into: str, count: int, result: ColumnResult
    ) -> None:
        super().__init__(column, [into] if count == 1 else [f"{into}_{number}" for number in range(1, count + 1)])
        self._center, self._name, self._count, self._result = center, name, count, result
        self.options = {"operation": "additional", "column": column, "into": into, "count": count}

    def check(self, domain: Domain) -> None:
        """More than one is for domains that have several."""
        if not domain.multi:
            raise PolicyError("this domain has one pseudonym per original", code="not_multi")

    async def ask(self, batch: Batch, items: list[tuple[str, ...]]) -> Sequence[Item]:
        """More of each, in requests that fit; the same rows of a resumed job have the same key."""
        size = max(1, self._center.settings.batch // self._count)
        made: list[Item] = []
        for start in range(0, len(items), size):
            part = [value for (value,) in items[start : start + size]]
            place = f"{batch.chunk.first}:{start}".encode()
            key = hmac.new(self._result.nonce.encode(), place, "sha256").hexdigest()[:32]
            answer = await self._center.additional(self._name, part, self._count, key=key)
            same_version(self._result.versions, self._name, answer.key_version)
            errors = {error.index: error for error in answer.errors}
            for index, pseudonyms in enumerate(answer.pseudonyms):
                error = errors.get(index)
                self._result.created += len(pseudonyms or ())
                made.append(pseudonyms or Refused(error.code if error else "item_refused", error.hint if error else ""))
        return made

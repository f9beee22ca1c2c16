"""The list that a person confirms, what follows from it, and the declaration that goes with an upload.

Three files, of which the first two stay at the site: the list (ids, and the values if asked for), the duplicates (ids
only) and the declaration (counts and a digest, nothing of a person).
"""

from __future__ import annotations

import csv
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from linkage.dedupe.find import Duplicates
from linkage.dedupe.model import CUT, LEVELS
from linkage.errors import DuplicatesError
from linkage.schema import Schema
from linkage.spreadsheet import guarded, unguarded
from linkage.tables import Chunk, Table

SAME: Final = "same"
DIFFERENT: Final = "different"
_HEAD: Final = ("decision", "class", "probability", "reasons", "id_a", "id_b")
WORDS: Final = {
    "given_name": ("", "equal", "close", "alike", "different"),
    "surname": ("", "equal", "close, or a further name", "alike", "different"),
    "birth_date": ("", "equal", "one slip", "two of three parts", "different"),
    "address": ("", "equal", "street and number or postcode", "town or postcode", "different"),
    "insured_number": ("", "equal", "different"),
    "sex": ("", "equal", "different"),
}
_DIGEST = r"^[0-9a-f]{64}(?![\s\S])"


class Declaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a site says about its source: counts, and a digest that binds it to the list of duplicates it kept.

    Attributes:
        format: of this file.
        schema: fingerprint of the schema whose passes were the blocking rules.
        records: of the source, duplicates included.
        compared: pairs of records that were compared.
        blocks_skipped: blocks too large to be compared, even cut by further components.
        listed: pairs that were listed.
        same: of these, pairs that a person confirmed.
        different: of these, pairs that a person rejected.
        open: of these, pairs that nobody decided on.
        accepted: of the open ones, pairs that were joined by the rule, without a person.
        removed: records that are left out, as another record of the source is the same person.
        cut: probability above which the rule joins.
        duplicates_sha256: of the file with the ids, which holds 32 random bytes so that nobody can guess it.
    """

    format: Literal["trustcenter/deduplication/1"] = "trustcenter/deduplication/1"
    schema: Annotated[str, msgspec.Meta(pattern=_DIGEST)]
    records: Annotated[int, msgspec.Meta(ge=0)]
    compared: Annotated[int, msgspec.Meta(ge=0)]
    blocks_skipped: Annotated[int, msgspec.Meta(ge=0)]
    listed: Annotated[int, msgspec.Meta(ge=0)]
    same: Annotated[int, msgspec.Meta(ge=0)]
    different: Annotated[int, msgspec.Meta(ge=0)]
    open: Annotated[int, msgspec.Meta(ge=0)]
    accepted: Annotated[int, msgspec.Meta(ge=0)]
    removed: Annotated[int, msgspec.Meta(ge=0)]
    cut: float = CUT
    duplicates_sha256: Annotated[str, msgspec.Meta(pattern=_DIGEST)]

    def encode(self) -> bytes:
        """JSON for people and programs, keys sorted."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1) + b"\n"


class Removed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which records of a source are left out: id → id of the record that stays.

    Attributes:
        format: of this file.
        salt: 32 random bytes in hex, so that a digest of the file tells nothing.
        ids: the site's ids.
    """

    format: Literal["trustcenter/duplicates/1"] = "trustcenter/duplicates/1"
    salt: Annotated[str, msgspec.Meta(pattern=_DIGEST)]
    ids: dict[str, str]

    def __repr__(self) -> str:
        return f"Removed({len(self.ids)} ids)"

    def apply(self, table: Table) -> Table:
        """The table without the records that are left out.

        Raises:
            DuplicatesError: an id of the list is not in the table.
        """
        if self.ids.keys() - set(table.ids) or set(self.ids.values()) - set(table.ids):
            raise DuplicatesError(
                "the list of duplicates names records that the source does not have", hint="was it made of this file?"
            )
        keep = [i for i, one in enumerate(table.ids) if one not in self.ids]
        return Table(
            [table.ids[i] for i in keep], {name: [column[i] for i in keep] for name, column in table.columns.items()}
        )

    def apply_to(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """As `apply`, of a table that comes in chunks; what is not there is known at the end only."""
        unseen = {*self.ids.keys(), *self.ids.values()}
        for chunk in chunks:
            unseen.difference_update(chunk.ids)
            keep = [i for i, one in enumerate(chunk.ids) if one not in self.ids]
            columns = {name: [column[i] for i in keep] for name, column in chunk.columns.items()}
            yield Chunk(chunk.first, [chunk.ids[i] for i in keep], columns)
        if unseen:
            raise DuplicatesError(
                "the list of duplicates names records that the source does not have", hint="was it made of this file?"
            )


def rows(table: Table, found: Duplicates, *, values: bool) -> Iterator[list[str]]:
    """The list, header first. With `values` each pair has the values of both records side by side.

    People open it in a spreadsheet: no cell begins like a formula.
    """
    names = list(table.columns) if values else []
    yield [*_HEAD, *(f"{name}_{side}" for name in names for side in "ab")]
    levels = found.levels()
    for k, pair in enumerate(found.pairs.tolist()):
        a, b, _, posterior, match = pair
        reasons = [f"{name} {WORDS[name][levels[name][k]]}" for name in LEVELS if levels[name][k]]
        yield [
            *("", "match" if match else "possible", f"{posterior:.4f}", "; ".join(reasons)),
            *(guarded(table.ids[i]) for i in (a, b)),
            *(guarded(table.columns[name][i]) for name in names for i in (a, b)),
        ]


def write_list(path: Path, table: Table, found: Duplicates, *, values: bool) -> None:
    """Write the list as CSV, mode 0600, replaced in one step."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix="." + path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows(table, found, values=values))
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_list(path: Path) -> list[tuple[str, str, str]]:
    """Decision ("same", "different" or "") and both ids of every pair of a list.

    Raises:
        DuplicatesError: it is no such list, or a decision is another word; with the row.
    """
    from linkage.readers import DELIMITERS

    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DuplicatesError("there is no such list") from None
    except (OSError, UnicodeDecodeError):
        raise DuplicatesError("the list is not readable as UTF-8") from None
    first = text.split("\n", 1)[0]
    # A spreadsheet may have saved it with another separator.
    found = csv.reader(text.splitlines(keepends=True), delimiter=max(DELIMITERS, key=first.count), strict=True)
    decided: list[tuple[str, str, str]] = []
    try:
        header = next(found, [])
        if any(name not in header for name in ("decision", "id_a", "id_b")):
            raise DuplicatesError("this is no list of duplicates: it lacks decision, id_a or id_b", where="header")
        at = [header.index(name) for name in ("decision", "id_a", "id_b")]
        for number, row in enumerate(found, start=1):
            if not row:
                continue
            if len(row) != len(header):
                raise DuplicatesError("the row is not as long as the header", where=f"row {number}")
            word, a, b = (row[i].strip() for i in at)
            if word.lower() not in ("", SAME, DIFFERENT):
                raise DuplicatesError(f"a decision is {SAME}, {DIFFERENT} or nothing", where=f"row {number}")
            decided.append((word.lower(), unguarded(a), unguarded(b)))
    except csv.Error:
        raise DuplicatesError("a quotation of the list is not closed or not opened") from None
    return decided


def settle(
    schema: Schema, table: Table, found: Duplicates, decided: Sequence[tuple[str, str, str]], *, accept: bool
) -> tuple[Removed, Declaration]:
    """Join what a person confirmed (and with `accept` what the rule would join and nobody decided on).

    Of the records of one person the one with the fewest missing values stays, the first of these in the file.

    Raises:
        DuplicatesError: an id that the table does not have, or two records that one row calls different and other
            rows together the same; with the row.
    """
    place = {one: i for i, one in enumerate(table.ids)}
    words: dict[tuple[int, int], str] = {}
    for number, (word, a, b) in enumerate(decided, start=1):
        if a not in place or b not in place or a == b:
            raise DuplicatesError("the row names a record that the source does not have", where=f"row {number}")
        words[min(place[a], place[b]), max(place[a], place[b])] = word
    parent = list(range(len(table)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    joined = [pair for pair, word in words.items() if word == SAME]
    rejected = {pair for pair, word in words.items() if word == DIFFERENT}
    automatic = 0
    for i, j in joined:
        parent[root(i)] = root(j)
    if accept:
        apart = list(rejected)
        chosen = found.pairs[found.pairs["match"]]
        for i, j in zip(chosen["a"].tolist(), chosen["b"].tolist(), strict=True):
            if words.get((i, j)):
                continue
            x, y = root(i), root(j)
            # What a person calls different stays apart, whatever the rule would join in between.
            if x != y and any({root(p), root(q)} == {x, y} for p, q in apart):
                continue
            parent[x] = y
            automatic += 1
    for number, (word, a, b) in enumerate(decided, start=1):
        if word == DIFFERENT and root(place[a]) == root(place[b]):
            raise DuplicatesError(
                "the row calls two records different that other rows together call the same", where=f"row {number}"
            )
    groups: dict[int, list[int]] = {}
    for i in range(len(table)):
        groups.setdefault(root(i), []).append(i)
    gaps = [sum(not column[i] for column in table.columns.values()) for i in range(len(table))]
    ids: dict[str, str] = {}
    for members in groups.values():
        stays = min(members, key=lambda i: (gaps[i], i))
        ids.update({table.ids[i]: table.ids[stays] for i in members if i != stays})
    pairs = zip(found.pairs["a"].tolist(), found.pairs["b"].tolist(), strict=True)
    undecided = sum(not words.get(pair) for pair in pairs)
    removed = Removed(salt=secrets.token_bytes(32).hex(), ids=ids)
    return removed, Declaration(
        schema=schema.fingerprint,
        records=len(table),
        compared=found.compared,
        blocks_skipped=found.blocks_skipped,
        listed=len(found.pairs),
        same=len(joined),
        different=len(rejected),
        open=undecided,
        accepted=automatic,
        removed=len(ids),
        duplicates_sha256=hashlib.sha256(encode_removed(removed)).hexdigest(),
    )


def encode_removed(removed: Removed) -> bytes:
    """The file of duplicates."""
    return msgspec.json.encode(removed, order="sorted") + b"\n"


def load_removed(path: Path) -> tuple[Removed, str]:
    """A file of duplicates and its SHA-256.

    Raises:
        DuplicatesError: there is none, or it is not one.
    """
    try:
        data = path.read_bytes()
        return msgspec.json.decode(data, type=Removed), hashlib.sha256(data).hexdigest()
    except FileNotFoundError:
        raise DuplicatesError("there is no such file of duplicates") from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        raise DuplicatesError("this is no file of duplicates", hint="`linkage dedupe` writes it") from None

"""The entries of a map (M4) as bytes: record number, flags and refs of each record (docs/spec/rooms.md)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linkage.rows import ascending
from trustcenter.audit.refs_root import refs_root
from trustcenter.errors import UsageError
from trustcenter.store.packed import Keys

from . import refs

NUMBER_BYTES = 16
REF_BYTES = 16
_HEADER = NUMBER_BYTES + 1
DECOY = 1


_HEX = re.compile("[0-9a-f]*")


def parse_numbers(numbers: Sequence[str]) -> list[bytes]:
    """Record numbers of 32 characters each as bytes.

    Raises:
        UsageError: one is not lower-case hex.
    """
    joined = "".join(numbers)
    if _HEX.fullmatch(joined) is None:
        wrong = next(place for place, number in enumerate(numbers) if _HEX.fullmatch(number) is None)
        raise UsageError(
            "a record number is not 16 bytes as lower-case hex",
            code="invalid_body",
            hint="compare it with /openapi.json",
            where=f"$.record_numbers[{wrong}]",
        )
    return refs.cut(bytes.fromhex(joined))


def require_strictly_sorted(numbers: Sequence[bytes]) -> None:
    """Refuse record numbers that repeat, or that say something of the order of a file.

    Raises:
        UsageError: they do.
    """
    for position in range(1, len(numbers)):
        if numbers[position - 1] == numbers[position]:
            raise UsageError(
                "a record number occurs twice in one upload",
                code="duplicate_record_number",
                hint="one person is one record of a source: deduplicate at the site first",
                where=f"record {position + 1}",
            )
        if numbers[position - 1] > numbers[position]:
            raise UsageError(
                "record numbers must be sorted",
                code="not_sorted",
                hint="sort them before sending: file order would tie them to hospital ids",
                where=f"record {position + 1}",
            )


@dataclass(frozen=True)
class Entries:
    """A parsed map of n records with P refs each.

    Attributes:
        numbers: of the records, ascending.
        decoys: (n,) whether a record is one.
        refs: (n, P, 16), sorted within each record.
        keys: all refs, ascending.
        records: (n * P,) which record each of the keys is of.
        root: over all refs (`audit.refs_root`), hex.
        digest: SHA-256 of the entries as they came.
    """

    numbers: list[bytes]
    decoys: NDArray[np.bool_]
    refs: NDArray[np.uint8]
    keys: Keys
    records: NDArray[np.int64]
    root: str
    digest: bytes


def parse_entries(packed: bytes, passes: int) -> Entries:
    """Unpack the entries of a map.

    Raises:
        UsageError: wrong length, unsorted or repeated record numbers or refs, unknown flags.
    """
    width = _HEADER + passes * REF_BYTES
    if len(packed) == 0 or len(packed) % width:
        raise UsageError(
            "the map's length does not fit the number of passes of this study",
            code="malformed_map",
            hint="every record has exactly one ref per pass; make the map with trustcenter study upload",
        )
    table = np.frombuffer(packed, dtype=np.uint8).reshape(-1, width)
    numbers = refs.cut(table[:, :NUMBER_BYTES].tobytes())
    if not ascending(table[:, :NUMBER_BYTES]):
        require_strictly_sorted(numbers)
    flags = table[:, NUMBER_BYTES]
    if bool((flags > DECOY).any()):
        raise UsageError(
            "the map has an unknown flag",
            code="malformed_map",
            where=f"record {int((flags > 1).argmax()) + 1}",
        )
    of_records = refs.in_order(table[:, _HEADER:].reshape(len(table), passes, REF_BYTES))
    keys, records = refs.by_ref(of_records)
    if refs.repeats(keys):
        raise UsageError("a ref occurs twice in the map", code="repeated_ref", hint="the map was refused whole")
    root = refs_root(refs.packed(keys)).hex()
    return Entries(numbers, flags == DECOY, of_records, keys, records, root, hashlib.sha256(packed).digest())

"""What a chunk of rows must be (M1), before it enters the store."""

from __future__ import annotations

import hashlib
import itertools
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from linkage.rows import ROW, ascending
from trustcenter.errors import UsageError

# A masked filter of 256 bits has 128 set bits with a deviation of 8: outside these bounds it was made by another
# encoder, or by hand. A right one falls outside once in 10^15 rows.
_FILL_MIN, _FILL_MAX = 64, 192


def require_digest(body: bytes, digest: bytes) -> None:
    """Refuse a chunk that is not what was announced.

    Raises:
        UsageError: its SHA-256 is another.
    """
    if hashlib.sha256(body).digest() != digest:
        raise UsageError(
            "the chunk does not have the digest that was announced for it",
            code="digest_mismatch",
            hint="it was damaged on the way: send it again",
            where="Content-Digest",
        )


def checked(body: bytes, digest: bytes, passes: int) -> NDArray[np.void]:
    """The (n,) ROW rows of a chunk.

    Args:
        body: the chunk.
        digest: SHA-256 that was announced for it.
        passes: of the study.

    Raises:
        UsageError: damaged, unsorted, or rows that the study's encoding cannot have made.
    """
    require_digest(body, digest)
    if len(body) == 0 or len(body) % ROW.itemsize:
        raise UsageError(
            f"a chunk is a whole number of rows of {ROW.itemsize} bytes",
            code="wrong_row_length",
            hint="was it encoded with another filter length?",
        )
    rows = np.frombuffer(body, dtype=ROW)
    if not ascending(rows["ref"]):
        _name_disorder([ref.tobytes() for ref in rows["ref"]])
    if bool((rows["pass"] >= passes).any()):
        position = int((rows["pass"] >= passes).argmax())
        raise UsageError("this study has no such pass", code="unknown_pass", where=f"row {position + 1}")
    filters = np.ascontiguousarray(rows["filter"]).view(np.uint8).reshape(len(rows), -1)
    fill = np.bitwise_count(filters).sum(axis=1, dtype=np.int64)
    odd = (fill < _FILL_MIN) | (fill > _FILL_MAX)
    if bool(odd.any()):
        raise UsageError(
            "a filter is nearly empty or nearly full: it was not made by the study's encoding",
            code="implausible_filter",
            where=f"row {int(odd.argmax()) + 1}",
        )
    return rows


def _name_disorder(refs: list[bytes]) -> NoReturn:
    for position, (before, after) in enumerate(itertools.pairwise(refs)):
        if before >= after:
            code = "repeated_ref" if before == after else "not_sorted"
            raise UsageError(
                "rows are sorted by ref over the whole upload, each ref once", code=code, where=f"row {position + 2}"
            )
    raise AssertionError("the refs ascend")

"""Rows of accepted uploads, placed where windows look for them, and taken away again.

    chunks as they came (`arrived`) ──accepted──► `placed`, packed by pass and token, and `placed_ref`, packed by ref

Both are filled when the upload is accepted, in transactions of some rows each (`ahead.place`), each table in its own
order; then the upload is made live, and before that no window looks at its rows. Until then a chunk is one value,
appended. Tokens of what no applied window compared stand once more in `fresh`: they are what a window looks up.
Whether a ref is there already is the registrar's to say, which takes no map with such a ref.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from linkage.rows import ROW
from trustcenter.store import Connection, Migration
from trustcenter.store.packed import Keys, Packed, ddl, take

U8 = NDArray[np.uint8]

PLACED = np.dtype([("token", "u1", 16), ("ref", "u1", 16), ("upload", "<u4"), ("filter", "u1", 32)])
PLACED_REF = np.dtype([("ref", "u1", 16), ("token", "u1", 16), ("pass", "u1"), ("upload", "<u4")])
ROWS: Final = Packed("placed", PLACED, "token")
REFS: Final = Packed("placed_ref", PLACED_REF, "ref")
TOKEN_BYTES: Final = 16
REF_BYTES: Final = 16
_AT_ONCE: Final = 1_500_000  # rows placed at a time: about 150 MB with what sorting needs
_PIECE_BYTES: Final = 8 * 2**20  # of rows that are laid out together
_PAGES: Final = 300  # of each table that one transaction of a purge removes: about 30 MB
PASSES: Final = 256  # spaces of one study

MIGRATIONS = (
    Migration(
        number=610,
        name="rows packed by pass and token, and by ref",
        sql=ddl("placed")
        + ddl("placed_ref")
        + """
        CREATE TABLE arrived (
            number INTEGER PRIMARY KEY,
            upload INTEGER NOT NULL REFERENCES upload(number),
            chunk INTEGER NOT NULL,
            sha256 BLOB NOT NULL,
            rows INTEGER NOT NULL,
            body BLOB NOT NULL            -- the rows as they were sent; empty once they are placed
        ) STRICT;
        CREATE UNIQUE INDEX arrived_once ON arrived (upload, chunk);
        CREATE TABLE fresh (
            upload INTEGER NOT NULL REFERENCES upload(number),
            pass INTEGER NOT NULL,
            part INTEGER NOT NULL,
            tokens BLOB NOT NULL,         -- of its rows, by their first halves, 16 bytes each
            PRIMARY KEY (upload, pass, part)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)


def space(study: int, number: int) -> int:
    """Where the rows of a pass of a study lie."""
    return study * PASSES + number


def bodies(conn: Connection, upload: int) -> Iterator[NDArray[np.void]]:
    """The rows of an upload that are not placed yet, chunk by chunk, in order."""
    for (number,) in conn.execute("SELECT number FROM arrived WHERE upload = ? ORDER BY chunk", (upload,)).fetchall():
        (body,) = conn.execute("SELECT body FROM arrived WHERE number = ?", (number,)).fetchone()
        yield np.frombuffer(body, ROW)


def place(conn: Connection, study: int, upload: int) -> None:
    """Place all rows of an upload that are not placed yet."""
    while place_some(conn, study, upload):
        pass


def place_some(conn: Connection, study: int, upload: int) -> bool:
    """Place the next rows of an upload, whole chunks of it; whether there are more.

    Until the upload is live no window looks at them, so they may be placed in several transactions.
    """
    chunks = conn.execute(
        "SELECT number, chunk, rows FROM arrived WHERE upload = ? AND length(body) > 0 ORDER BY chunk", (upload,)
    ).fetchall()
    if not chunks:
        return False
    ends = list(itertools.accumulate(rows for _, _, rows in chunks))
    lot = chunks[: max(1, bisect.bisect_right(ends, _AT_ONCE))]
    for number, placed in lay(conn, study, _taken(conn, upload, [number for number, _, _ in lot])):
        tokens = placed["token"].tobytes()
        conn.execute("INSERT INTO fresh VALUES (?,?,?,?)", (upload, number, lot[0][1], tokens))
    return len(lot) < len(chunks)


def _taken(
    conn: Connection, upload: int, numbers: Sequence[int]
) -> Iterator[tuple[NDArray[np.void], int | NDArray[np.uint32]]]:
    """The rows of chunks, which are emptied, some chunks together."""
    found: list[bytes] = []
    for at, number in enumerate(numbers, 1):
        found += conn.execute("SELECT body FROM arrived WHERE number = ?", (number,)).fetchone()
        # One by one: what a statement for all of them overwrites would be kept in memory until its end.
        conn.execute("UPDATE arrived SET body = x'' WHERE number = ?", (number,))
        if sum(map(len, found)) >= _PIECE_BYTES or at == len(numbers):
            yield np.frombuffer(b"".join(found), ROW), upload
            found.clear()


def lay(
    conn: Connection, study: int, pieces: Iterable[tuple[NDArray[np.void], int | NDArray[np.uint32]]]
) -> Iterator[tuple[int, NDArray[np.void]]]:
    """Place rows; yields them by pass, sorted by token.

    Args:
        conn: a transaction.
        study: number of the study.
        pieces: rows with their upload, or the upload of each. Those of one upload come sorted by ref, so each piece
            goes into pages of its own by ref; by token they are placed all together.
    """
    by_pass: dict[int, list[NDArray[np.void]]] = {}
    for rows, upload in pieces:
        REFS.add(conn, study, _laid_out(rows, PLACED_REF, upload))
        passes = np.ascontiguousarray(rows["pass"])
        order = np.argsort(passes, kind="stable")
        placed = take(_laid_out(rows, PLACED, upload), order)
        bounds = np.searchsorted(passes[order], np.arange(PASSES + 1)).tolist()
        for number, (start, end) in enumerate(itertools.pairwise(bounds)):
            if start < end:
                by_pass.setdefault(number, []).append(placed[start:end])
    for number in sorted(by_pass):
        mine, _ = ROWS.in_order(np.concatenate(by_pass.pop(number)))
        ROWS.add(conn, space(study, number), mine)
        yield number, mine


def _laid_out(rows: NDArray[np.void], kind: np.dtype[np.void], upload: int | NDArray[np.uint32]) -> NDArray[np.void]:
    """Rows with the fields of another kind. Byte by byte: numpy copies fields of many bytes one element at a time."""
    made = np.empty(len(rows), kind)
    made["upload"] = upload
    to = made.view(np.uint8).reshape(len(rows), kind.itemsize)
    raw = rows.view(np.uint8).reshape(len(rows), ROW.itemsize)
    assert kind.fields is not None
    assert ROW.fields is not None
    for name in set(kind.fields) - {"upload"}:
        (field, start), at = kind.fields[name][:2], ROW.fields[name][1]
        to[:, start : start + field.itemsize] = raw[:, at : at + field.itemsize]
    return made


def remove(conn: Connection, study: int, refs: bytes, passes: range = range(PASSES)) -> int:
    """Remove the rows of packed refs, as far as they are there, everywhere; of some passes only. Returns how many."""
    keys = Keys.of(_split(refs))
    meant = np.zeros(PASSES, np.bool_)
    meant[passes.start : passes.stop] = True
    gone = REFS.remove(conn, study, keys, also=lambda rows: meant[rows["pass"]])
    for number in np.unique(gone["pass"]).tolist():
        tokens = Keys.of(gone["token"][gone["pass"] == number])
        ROWS.remove(conn, space(study, number), tokens, also=lambda rows: keys.among(rows["ref"]))
    for upload in np.unique(gone["upload"]).tolist():
        mine = gone[gone["upload"] == upload]
        conn.execute("UPDATE upload SET held = held - ? WHERE number = ?", (len(mine), upload))
        _remove_fresh(conn, upload, mine)
    return len(gone)


def _remove_fresh(conn: Connection, upload: int, gone: NDArray[np.void]) -> None:
    """Forget the tokens of rows that are removed, each as often as it is gone."""
    for number in np.unique(gone["pass"]).tolist():
        left = _counted(gone["token"][gone["pass"] == number])
        for part, packed in conn.execute(
            "SELECT part, tokens FROM fresh WHERE upload = ? AND pass = ? ORDER BY part", (upload, number)
        ).fetchall():
            tokens = _split(packed)
            keep = np.ones(len(tokens), np.bool_)
            for at in np.flatnonzero(Keys.of(gone["token"]).among(tokens)).tolist():
                token = tokens[at].tobytes()
                if left.get(token, 0):
                    left[token] -= 1
                    keep[at] = False
            if not keep.all():
                conn.execute(
                    "UPDATE fresh SET tokens = ? WHERE upload = ? AND pass = ? AND part = ?",
                    (tokens[keep].tobytes(), upload, number, part),
                )


def purge(conn: Connection, study: int, name: str) -> int:
    """Remove all rows of a study, and its uploads; returns how many rows were there."""
    uploads = "(SELECT number FROM upload WHERE study = ?)"
    (waiting,) = conn.execute(
        f"SELECT coalesce(sum(rows), 0) FROM arrived WHERE upload IN {uploads} AND length(body) > 0",  # noqa: S608
        (name,),
    ).fetchone()
    rows = ROWS.drop(conn, space(study, 0), space(study + 1, 0))
    REFS.drop(conn, study)
    for table in ("arrived", "fresh"):
        conn.execute(f"DELETE FROM {table} WHERE upload IN {uploads}", (name,))  # noqa: S608 - constants
    conn.execute("DELETE FROM upload WHERE study = ?", (name,))
    return rows + int(waiting)


def purge_some(conn: Connection, study: int) -> bool:
    """Remove some placed rows of a study that is purged, a page at a time; whether there were any."""
    end = space(study + 1, 0)
    return ROWS.drop_some(conn, space(study, 0), _PAGES, end) + REFS.drop_some(conn, study, _PAGES) > 0


def left(conn: Connection, study: int, name: str) -> int:
    """How many rows of a study there are, wherever they lie."""
    query = (
        "SELECT coalesce(sum(a.rows), 0) FROM arrived a JOIN upload u ON u.number = a.upload"
        " WHERE u.study = ? AND length(a.body) > 0"
    )
    placed = max(ROWS.count(conn, space(study, 0), space(study + 1, 0)), REFS.count(conn, study))
    return placed + int(conn.execute(query, (name,)).fetchone()[0])


def drop(conn: Connection, upload: int) -> None:
    """Forget an upload that was never made live, with what of it was placed before the registrar was restored."""
    (study,) = conn.execute(
        "SELECT s.number FROM study s JOIN upload u ON u.study = s.name WHERE u.number = ?", (upload,)
    ).fetchone()
    if conn.execute("SELECT 1 FROM arrived WHERE upload = ? AND length(body) = 0", (upload,)).fetchone() is not None:
        placed = [entries["ref"][entries["upload"] == upload].tobytes() for entries in REFS.read(conn, study)]
        remove(conn, study, b"".join(placed))
    for table in ("arrived", "fresh"):
        conn.execute(f"DELETE FROM {table} WHERE upload = ?", (upload,))  # noqa: S608 - constants
    conn.execute("DELETE FROM upload WHERE number = ?", (upload,))


def compared(conn: Connection, study: str, window: int) -> None:
    """The uploads of a window, and of those before, are fresh no longer."""
    for table in ("arrived", "fresh"):
        conn.execute(
            f"DELETE FROM {table} WHERE upload IN"  # noqa: S608 - constants
            " (SELECT number FROM upload WHERE study = ? AND state = 'live' AND compared <= ?)",
            (study, window),
        )


def fresh_tokens(conn: Connection, uploads: Sequence[int], number: int) -> U8 | None:
    """(n, 16) tokens of some uploads in a pass; None if those of one of them are not at hand any more."""
    found = []
    for upload in uploads:
        if conn.execute("SELECT 1 FROM fresh WHERE upload = ? LIMIT 1", (upload,)).fetchone() is None:
            return None
        query = "SELECT tokens FROM fresh WHERE upload = ? AND pass = ? ORDER BY part"
        found += [tokens for (tokens,) in conn.execute(query, (upload, number))]
    return _split(b"".join(found))


def _counted(tokens: U8) -> dict[bytes, int]:
    counts: dict[bytes, int] = {}
    for token in tokens:
        counts[token.tobytes()] = counts.get(token.tobytes(), 0) + 1
    return counts


def _split(packed: bytes) -> U8:
    return np.frombuffer(packed, np.uint8).reshape(-1, REF_BYTES)

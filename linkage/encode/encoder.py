"""A source as rows: the site's half of the method (docs/spec/keyed-passes.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from linkage.encode.blocks import Plan, plan
from linkage.encode.grams import BaseFilters
from linkage.encode.secrets import Secrets, record_numbers
from linkage.encode.streams import Streams
from linkage.encode.values import OWN, replaced_fields
from linkage.errors import EncodeInputError
from linkage.normalise.further import Further
from linkage.prf import Prf, lp
from linkage.rows import ROW, sort_order
from linkage.schema import Schema

U8 = NDArray[np.uint8]
I64 = NDArray[np.int64]
Progress = Callable[[int, int], None]

_SIZE16, _SIZE32 = (16).to_bytes(4, "big"), (32).to_bytes(4, "big")
_CHUNK = 1024  # records whose base filters (2 MB expanded) are in memory at a time


class Columns(Protocol):
    """What `linkage.normalise.prepare` returns, as far as encoding needs it; "" is a missing value."""

    @property
    def n(self) -> int:
        """Number of records."""

    @property
    def values(self) -> Mapping[str, Sequence[str]]:
        """Field name → n normalised values."""

    @property
    def components(self) -> Mapping[str, Sequence[str]]:
        """Component name → n parts of block values."""

    @property
    def further(self) -> Sequence[Further]:
        """Further values of names and addresses, for passes of several values."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A source, encoded. `rows` is for the comparator, the rest for the registrar: never both for one.

    Attributes:
        rows: (n * P,) ROW, sorted by ref over the whole source; independent of the order of records.
        record_numbers: (n, 16) u1, in the order of the records.
        refs: (n, P, 16) u1, in the order of the records, sorted within each.
        live_passes: (n,) u1, rows of each record that are not dummies.
        missing: per pass, rows that are dummies for want of a component, or of a further value.
        capped: per pass, rows that are dummies because their block is over the cap.
    """

    rows: NDArray[np.void]
    record_numbers: U8
    refs: U8
    live_passes: U8
    missing: tuple[int, ...]
    capped: tuple[int, ...]


def _each_once(function: Callable[[str], bytes], values: Sequence[str]) -> list[bytes]:
    """`function` of every value, computed once per distinct value."""
    known = {value: function(value) for value in set(values)}
    return list(map(known.__getitem__, values))


def _packed(messages: list[bytes]) -> tuple[U8, I64]:
    """Messages one behind the other, and where each starts."""
    starts = np.zeros(len(messages) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, messages), np.int64, len(messages)), out=starts[1:])
    return np.frombuffer(bytearray(b"".join(messages)), np.uint8), starts


def _joined(*parts: U8 | bytes) -> U8:
    """(n, total) u1: columns of bytes side by side; what is no array stands in every row."""
    n = next(len(p) for p in parts if isinstance(p, np.ndarray))
    whole = [
        p if isinstance(p, np.ndarray) else np.broadcast_to(np.frombuffer(p, np.uint8), (n, len(p))) for p in parts
    ]
    return np.concatenate(whole, axis=1)


def encode(
    schema: Schema, prepared: Columns, ids: Sequence[str], secrets: Secrets, *, progress: Progress | None = None
) -> Encoded:
    """Encode a source: exactly P rows per record, everything derived from the two secrets.

    Args:
        schema: fields, passes, caps.
        prepared: normalised columns of n records.
        ids: n hospital ids, each once.
        secrets: study secret and site key.
        progress: called with (records done, n) after every chunk; may raise to cancel.

    Raises:
        EncodeInputError: the columns and ids are not of one length, or an id repeats.
    """
    n = prepared.n
    if len(ids) != n:
        raise EncodeInputError("there are not as many ids as records")
    if len(set(ids)) != n:
        raise EncodeInputError("an id occurs twice", hint="one row per patient and site")
    numbers = record_numbers(secrets, secrets.study, ids)
    which = plan(schema, prepared.components, n, prepared.further)
    rows = Work(schema, Keyed(schema, secrets), prepared, which, numbers).rows(progress)
    flat = rows.reshape(-1)
    return Encoded(
        rows=flat[sort_order(flat["ref"])],
        record_numbers=numbers,
        refs=refs_of(rows),
        live_passes=which.live.sum(axis=0, dtype=np.uint8),
        missing=which.missing,
        capped=which.capped,
    )


def refs_of(rows: NDArray[np.void]) -> U8:
    """(n, P, 16) u1: the refs of (n, P) ROW, sorted within each record."""
    n, passes = rows.shape
    return np.sort(rows["ref"].view("S16")[..., 0], axis=1).view(np.uint8).reshape(n, passes, 16)


class Keyed:
    """Keyed functions of one site in one study."""

    def __init__(self, schema: Schema, secrets: Secrets) -> None:
        self.base = BaseFilters(schema, secrets.shared("gram"))
        self.streams = Streams(schema, secrets.shared("stream"))
        self.token, self.nonce = Prf(secrets.shared("token")), Prf(secrets.shared("row"))
        self.ref, self.dummy = Prf(secrets.own("ref")), Prf(secrets.own("dummy"))


class Work:
    """Some records to encode: a source, or a part of one whose plan is known."""

    def __init__(self, schema: Schema, keyed: Keyed, prepared: Columns, which: Plan, numbers: U8) -> None:
        self.schema = schema
        self.keyed = keyed
        self.columns = prepared
        self.plan = which
        self.numbers = numbers
        self.names = [lp(p.name.encode()) for p in schema.passes]

    def rows(self, progress: Progress | None = None) -> NDArray[np.void]:
        """(n, P) ROW in the order of the records."""
        n = self.columns.n
        rows = np.empty((n, self.schema.P), ROW)
        for start in range(0, n, _CHUNK):
            stop = min(start + _CHUNK, n)
            self.chunk(rows[start:stop], start, stop)
            if progress is not None:
                progress(stop, n)
        return rows

    def chunk(self, out: NDArray[np.void], start: int, stop: int) -> None:
        """Write the rows of the records start..stop-1 into `out`, (stop - start, P) ROW."""
        base, place = self._bases(start, stop)
        coded: dict[int, list[bytes]] = {}  # one list per column of parts, of which passes share most
        m = stop - start
        numbers = _joined(_SIZE16, self.numbers[start:stop])
        for slot, rows in enumerate(self.plan.rows):
            at = rows.at
            alive = rows.live[start:stop]
            tokens = np.empty((m, 16), np.uint8)
            filters = np.empty((m, 32), np.uint8)
            name = self.names[at]
            which = np.flatnonzero(alive)
            if len(which):
                for values_of in rows.parts:
                    if id(values_of) not in coded:
                        coded[id(values_of)] = _each_once(lambda value: lp(value.encode()), values_of[start:stop])
                parts = [list(compress(coded[id(values_of)], alive)) for values_of in rows.parts]
                blocks = _packed([name + b"".join(value) for value in zip(*parts, strict=True)])
                tokens[which] = self.keyed.token.batch(*blocks)[:, :16]
                nonces = np.ascontiguousarray(self.keyed.nonce.batch(*blocks)[:, :8])
                filters[which] = self.keyed.streams.filters(at, nonces, base, place(rows.variant[start:stop])[which])
            dead = np.flatnonzero(~alive)
            if len(dead):
                tail = name if rows.nth == 0 else name + lp(rows.nth.to_bytes(4, "big"))
                filler = [self.keyed.dummy.rows(_joined(numbers[dead], tail + bytes([i]))) for i in (0, 1)]
                tokens[dead], filters[dead, :16] = filler[0][:, :16], filler[0][:, 16:]
                filters[dead, 16:] = filler[1][:, :16]
            # lp(record number) ‖ lp(pass) ‖ lp(token) ‖ lp(filter)
            column = out[:, slot]
            column["ref"] = self.keyed.ref.rows(_joined(numbers, name + _SIZE16, tokens, _SIZE32, filters))[:, :16]
            column["pass"] = at
            column["token"] = tokens
            column["filter"] = filters

    def _bases(self, start: int, stop: int) -> tuple[U8, Callable[[I64], I64]]:
        """Base filters of a chunk, the records' own and those with a further value in place of one; and where the base
        filter of each row stands, by its variant.
        """
        columns = [self.columns.values[f.name][start:stop] for f in self.schema.fields]
        used = [rows.variant[start:stop] for rows in self.plan.rows if self.schema.passes[rows.at].values > 1]
        variants = np.unique(np.concatenate(used)) if used else np.empty(0, np.int64)
        variants = variants[variants != OWN]
        more = replaced_fields(self.schema.fields, self.columns.values, self.columns.further, variants.tolist())
        base = self.keyed.base.make(
            [[*a, *b] for a, b in zip(columns, more, strict=True)] if len(variants) else columns
        )
        own = np.arange(stop - start)

        def place(variant: I64) -> I64:
            return np.where(variant == OWN, own, stop - start + np.searchsorted(variants, variant))

        return base, place

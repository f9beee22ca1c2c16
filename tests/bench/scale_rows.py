"""Row files of ten million people in minutes: what a comparison sees, without encoding anybody.

Encoding ten million records takes twenty minutes of a core; a benchmark of the comparison need not wait for it. Here
people are drawn from the pools of `linkage.synth`, a block value becomes a token by a fast mixing function, and each
bit of a filter is a bit of one or two fields, mixed with the token: so blocks have the sizes of German names, dates
and addresses, caps blank what they would blank, and distances grow with the fields that differ. Nothing here is a
secret or an encoding; it says nothing about accuracy. How near it comes to encoded people is printed by
`make bench ARGS="scale --simulated --records 1e6"` beside the same without `--simulated`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from linkage.maps import map_dtype
from linkage.phonetics import cologne
from linkage.rows import ROW, Header
from linkage.schema import Schema
from linkage.synth import pools

I4 = NDArray[np.int32]
GIVEN, SURNAME, STREET, NUMBER, PLACE, YEAR, MONTHDAY, G, S, G3, S3, AD4 = range(12)
PARTS: dict[str, tuple[int, ...]] = {
    "y": (YEAR,), "md~": (MONTHDAY,), "no": (NUMBER,), "pc": (PLACE,), "G": (G,), "S": (S,), "ad4": (AD4,),
    "{g3,s3}": (G3, S3), "{G,S}": (G, S),
}  # fmt: skip
# Share of the bits of a filter that depend on each field; roughly its share of the positions of a base filter.
SHARES = {G3: 0.10, GIVEN: 0.11, S3: 0.10, SURNAME: 0.11, STREET: 0.09, PLACE: 0.225, NUMBER: 0.015, YEAR: 0.12}
_AT_ONCE = 1 << 20
_SLOTS = 26  # bits of the table in which rows of a block are counted; a few blocks share a place


def simulate(schema: Schema, folders: list[Path], n: int, overlap: float = 0.5) -> None:
    """Write `rows.tcrows` and `map.tcmap` of some sources; each has `overlap` of its people in common with the next."""
    for side, folder in enumerate(folders):
        folder.mkdir(parents=True, exist_ok=True)
        people = _people(np.arange(n, dtype=np.uint64) + np.uint64(side * int(n * (1 - overlap))))
        if side:
            _errors(people, np.random.default_rng(1000 + side))
        order = np.random.default_rng(side).permutation(n)
        _write(schema, folder, people[order], side)


def _people(who: NDArray[np.uint64]) -> I4:
    """(n, 12) codes of these people: the same person is the same wherever asked for."""
    people = np.empty((len(who), 12), np.int32)
    names = _weighted([(i, w) for p in (0, 1) for i, w in _items(pools.given_names()["german", p])])
    surnames, streets, places = (
        _weighted(_items(p))
        for p in (
            pools.surnames()["german"],
            pools.streets(),
            pools.Pool(pools.places().postcodes, pools.places().weights),
        )
    )
    home, both = who >> np.uint64(1), _uniform(who >> np.uint64(1), 1) < 0.55  # two of one household
    address = np.where(both, home, who | np.uint64(1 << 60))
    family = np.where(both & (_uniform(home, 2) < 0.85), home, who | np.uint64(1 << 60))
    three, sounds = _coder(), _coder()
    for at, key, salt, (items, shares) in (
        (GIVEN, who, 3, names), (SURNAME, family, 4, surnames),
        (STREET, address, 5, streets), (PLACE, address, 6, places),
    ):  # fmt: skip
        drawn = np.searchsorted(shares, _uniform(key, salt), side="right").clip(0, len(items) - 1)
        people[:, at] = drawn
        if at in (GIVEN, SURNAME):
            people[:, G3 if at == GIVEN else S3] = np.array([three(i[:3].lower()) for i in items], np.int32)[drawn]
            people[:, G if at == GIVEN else S] = np.array([sounds(cologne(i)) for i in items], np.int32)[drawn]
        if at == STREET:
            people[:, AD4] = np.array([three(i[:4].lower()) for i in items], np.int32)[drawn]
    u = _uniform(address, 7)
    people[:, NUMBER] = (1 + 40 * u + 160 * u**6).astype(np.int32) * 8 + (_uniform(address, 8) * 88).astype(
        np.int32
    ) // 80
    root = np.sqrt(1 - _uniform(who, 9))
    people[:, YEAR] = 2025 - (18 + 78 * (1 - root * np.sqrt(root))).astype(np.int32)
    people[:, MONTHDAY] = (_uniform(who, 10) * 365).astype(np.int32)
    return people


def _items(pool: pools.Pool) -> list[tuple[str, float]]:
    return list(zip(pool.items.tolist(), pool.weights.tolist(), strict=True))


def _weighted(items: list[tuple[str, float]]) -> tuple[list[str], NDArray[np.float64]]:
    weights = np.cumsum([w for _, w in items])
    return [i for i, _ in items], weights / weights[-1]


def _coder() -> Callable[[str], int]:
    known: dict[str, int] = {}
    return lambda text: known.setdefault(text, len(known))


def _uniform(key: NDArray[np.uint64], salt: int) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        x = (key + np.uint64(salt) * np.uint64(0xD1342543DE82EF95)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2**53


def _errors(people: I4, draw: np.random.Generator) -> None:
    """What the second source has written differently: typing errors, dates, moves; the rarest codes are errors."""
    n = len(people)
    for share, whole, parts in (
        (0.08, GIVEN, (G3, G)), (0.08, SURNAME, (S3, S)), (0.05, STREET, (AD4,)),
        (0.03, MONTHDAY, ()), (0.02, YEAR, ()),
    ):  # fmt: skip
        wrong = np.flatnonzero(draw.random(n) < share)
        people[wrong, whole] = 1_000_000 + draw.integers(0, 1_000_000, len(wrong), np.int32)
        for part in parts:
            also = wrong[draw.random(len(wrong)) < 0.4]
            people[also, part] = 1_000_000 + draw.integers(0, 3000, len(also), np.int32)
    moved = np.flatnonzero(draw.random(n) < 0.08)
    people[np.ix_(moved, [STREET, NUMBER, PLACE, AD4])] = people[
        np.ix_(draw.permutation(moved), [STREET, NUMBER, PLACE, AD4])
    ]
    missing = np.flatnonzero(draw.random(n) < 0.02)
    people[np.ix_(missing, [STREET, NUMBER, PLACE, AD4])] = -1


@njit(cache=True, nogil=True)
def _mix(x: Any) -> Any:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True)
def _token(people: Any, record: int, parts: Any, p: int) -> Any:
    """First half of a token, 0 where a part is missing; two codes of one part stand in ascending order."""
    x = _mix(np.uint64(p + 1) * np.uint64(0x9E3779B97F4A7C15))
    for k in range(parts.shape[1]):
        if parts[p, k, 0] < 0:
            continue
        a = np.int64(people[record, parts[p, k, 0]])
        b = a if parts[p, k, 1] < 0 else np.int64(people[record, parts[p, k, 1]])
        if a < 0 or b < 0:
            return np.uint64(0)
        x = _mix(x + np.uint64(min(a, b) * 4_000_037 + max(a, b) + 1) * np.uint64(0x9E3779B97F4A7C15))
    return x | np.uint64(1)


@njit(cache=True, nogil=True)
def _over_cap(people: Any, parts: Any, caps: Any, slots: int, live: Any) -> None:
    """Which rows live: those with a block value whose block is within the cap of this source."""
    counts = np.zeros(1 << slots, np.uint8)
    shift = np.uint64(64 - slots)
    for p in range(parts.shape[0]):
        counts[:] = 0
        for record in range(people.shape[0]):
            token = _token(people, record, parts, p)
            at = np.int64(token >> shift)
            if token and counts[at] < 255:
                counts[at] += 1
        for record in range(people.shape[0]):
            token = _token(people, record, parts, p)
            live[record, p] = token != 0 and counts[np.int64(token >> shift)] <= caps[p]


@njit(cache=True, nogil=True)
def _put(raw: Any, at: int, x: Any) -> None:
    for k in range(8):
        raw[at + k] = np.uint8((x >> np.uint64(56 - 8 * k)) & np.uint64(255))


@njit(cache=True, nogil=True)
def _ref(j: int, step: Any, salt: Any) -> Any:
    """First half of the j-th ref of all, in ascending order; and its second half."""
    x = _mix(np.uint64(j) * np.uint64(0x9E3779B97F4A7C15) + salt)
    return np.uint64(j) * step + x % step, _mix(x + np.uint64(1))


@njit(cache=True, nogil=True)
def _rows(
    first: int, count: int, people: Any, parts: Any, live: Any, masks: Any, turn: int, step: Any, salt: Any, raw: Any
) -> None:
    """The rows whose refs are the first-th and following ones, 65 bytes each."""
    passes = live.shape[1]
    total = people.shape[0] * passes
    for r in range(count):
        j = first + r
        row = (j * turn) % total
        record, p = row // passes, row % passes
        high, low = _ref(j, step, salt)
        token, lives = _token(people, record, parts, p), live[record, p]
        if not lives:
            token = _mix(high + salt)  # a dummy of nobody else
        at = r * 65
        _put(raw, at, high)
        _put(raw, at + 8, low)
        raw[at + 16] = p
        _put(raw, at + 17, token)
        _put(raw, at + 25, _mix(token + np.uint64(1)))
        for w in range(4):
            x = _mix(token + np.uint64(w + 2))
            if not lives:
                x = _mix(x ^ low)
            else:
                for f in range(masks.shape[1]):
                    value = np.uint64(people[record, masks[0, f, 4]] + 2) * np.uint64(64) + np.uint64(f * 4 + w)
                    bits = _mix(token + value * np.uint64(0x9E3779B97F4A7C15))
                    x ^= bits & np.uint64(masks[0, f, w])
                    x ^= _mix(bits) & np.uint64(masks[1, f, w])
            _put(raw, at + 33 + 8 * w, x)


@njit(cache=True, nogil=True)
def _map(first: int, count: int, n: int, passes: int, back: int, step: Any, wide: Any, salt: Any, raw: Any) -> None:
    """Entries of the map: record number, flags, refs in ascending order."""
    total = n * passes
    size = 17 + 16 * passes
    places = np.empty(passes, np.int64)
    for r in range(count):
        record = first + r
        high, low = _ref(record, wide, salt + np.uint64(7))
        at = r * size
        _put(raw, at, high)
        _put(raw, at + 8, low)
        raw[at + 16] = 0
        for p in range(passes):
            # back * row mod total without leaving 64 bits: back < 2**32, row < 2**31
            places[p] = np.int64(np.uint64(back) * np.uint64(record * passes + p) % np.uint64(total))
        places.sort()
        for p in range(passes):
            high, low = _ref(places[p], step, salt)
            _put(raw, at + 17 + 16 * p, high)
            _put(raw, at + 25 + 16 * p, low)


def _write(schema: Schema, folder: Path, people: I4, side: int) -> None:
    n, passes = len(people), schema.P
    total = n * passes
    parts = np.full((passes, 3, 2), -1, np.int64)
    for p, rule in enumerate(schema.passes):
        for k, part in enumerate(rule.parts):
            parts[p, k, : len(PARTS[part])] = PARTS[part]
    live = np.zeros((n, passes), np.bool_)
    _over_cap(people, parts, np.array([p.cap for p in schema.passes], np.int64), _SLOTS, live)
    turn = next(a for a in range(1_000_003, 2_000_000, 2) if np.gcd(a, total) == 1)
    back = pow(turn, -1, total)
    step, wide = np.uint64(2**64 // total), np.uint64(2**64 // n)
    salt = np.uint64(11 + side)
    masks = _masks()

    def rows(first: int, count: int, raw: NDArray[np.uint8]) -> None:
        _rows(first, count, people, parts, live, masks, turn, step, salt, raw)

    def entries(first: int, count: int, raw: NDArray[np.uint8]) -> None:
        _map(first, count, n, passes, back, step, wide, salt, raw)

    for name, magic, size, many, fill in (
        ("rows.tcrows", b"TCROWS1\n", ROW.itemsize, total, rows),
        ("map.tcmap", b"TCRMAP1\n", map_dtype(passes).itemsize, n, entries),
    ):
        head = Header(
            study="bench", version=1, source=folder.name, fingerprint=schema.fingerprint, passes=passes, n=many,
            sha256="0" * 64,
        )  # fmt: skip
        digest = hashlib.sha256()
        raw = np.empty(min(many, _AT_ONCE) * size, np.uint8)
        with (folder / name).open("wb") as file:
            file.write(magic + msgspec.json.encode(head, order="sorted") + b"\n")
            for first in range(0, many, _AT_ONCE):
                count = min(_AT_ONCE, many - first)
                fill(first, count, raw)
                digest.update(raw[: count * size].data)
                file.write(raw[: count * size].data)
            head = msgspec.structs.replace(head, sha256=digest.hexdigest())
            file.seek(0)
            file.write(magic + msgspec.json.encode(head, order="sorted") + b"\n")


def _masks() -> NDArray[np.int64]:
    """(2, fields, 5): which bits of a filter depend on each field, and its column. Every bit depends on one; half of
    all depend on a second one, too, so that distance grows less than linearly, as it does by diffusion.
    """
    draw = np.random.default_rng(5)
    fields = [*SHARES, MONTHDAY]
    shares = np.array([*SHARES.values(), 1 - sum(SHARES.values())])
    out = np.zeros((2, len(fields), 5), np.int64)
    for layer in range(2):
        chosen = draw.choice(len(fields), 256, p=shares)
        on = np.ones(256, np.bool_) if layer == 0 else draw.random(256) < 0.5
        for f, field in enumerate(fields):
            bits = np.packbits((chosen == f) & on).view(">i8").astype(np.int64)
            out[layer, f] = [*bits, field]
    return out

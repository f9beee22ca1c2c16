"""Plaintext comparison of records inside blocks, for finding a site's own duplicates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from linkage.kernels.compiled import compiled

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U2 = NDArray[np.uint16]


@compiled("f8(u2[:], i8, u2[:], i8)")
def jaro_winkler(a: U2, m: int, b: U2, n: int) -> float:
    """Jaro-Winkler similarity (prefix of at most four characters, weight 0.1) of two texts of at most 63 characters."""
    if m == 0 or n == 0:
        return 0.0
    window = max(m, n) // 2 - 1
    window = max(window, 0)
    seen_a, seen_b = np.uint64(0), np.uint64(0)
    one = np.uint64(1)
    common = 0
    for i in range(m):
        for j in range(max(0, i - window), min(n, i + window + 1)):
            if a[i] == b[j] and not (seen_b >> np.uint64(j)) & one:
                seen_a |= one << np.uint64(i)
                seen_b |= one << np.uint64(j)
                common += 1
                break
    if common == 0:
        return 0.0
    j = 0
    swapped = 0
    for i in range(m):
        if (seen_a >> np.uint64(i)) & one:
            while not (seen_b >> np.uint64(j)) & one:
                j += 1
            if a[i] != b[j]:
                swapped += 1
            j += 1
    jaro = (common / m + common / n + (common - swapped // 2) / common) / 3.0
    if jaro <= 0.7:  # Winkler's bound: a common beginning of unlike texts says nothing
        return jaro
    prefix = 0
    while prefix < 4 and prefix < m and prefix < n and a[prefix] == b[prefix]:
        prefix += 1
    return jaro + prefix * 0.1 * (1.0 - jaro)


@compiled("i8(i8, i8, u2[:,::1], i8[::1])")
def name_level(x: int, y: int, text: U2, size: I8) -> int:
    """0 missing, 1 equal, 2 close or one a beginning of the other, 3 alike, 4 different; x, y number texts."""
    if x == 0 or y == 0:
        return 0
    if x == y:
        return 1
    m, n = size[x], size[y]
    short = min(m, n)
    if short >= 3:
        i = 0
        while i < short and text[x, i] == text[y, i]:
            i += 1
        if i == short:
            return 2
    near = jaro_winkler(text[x], m, text[y], n)
    return 2 if near >= 0.92 else 3 if near >= 0.8 else 4


@compiled("i8(i8, i8, u2[:,::1], i8[::1])")
def date_level(x: int, y: int, text: U2, size: I8) -> int:
    """0 missing, 1 equal, 2 one slip or one a partial form of the other, 3 two of three parts equal, 4 different."""
    if x == 0 or y == 0:
        return 0
    if x == y:
        return 1
    a, b = text[x], text[y]
    short = min(size[x], size[y])
    differ = 0
    first = -1
    for i in range(short):
        if a[i] != b[i]:
            differ += 1
            if first < 0:
                first = i
    if short < 8:
        return 2 if differ == 0 else 4
    if differ == 1:
        return 2
    if differ == 2 and a[first] == b[first + 1] and a[first + 1] == b[first]:
        return 2
    year = a[0] == b[0] and a[1] == b[1] and a[2] == b[2] and a[3] == b[3]
    month = a[4] == b[4] and a[5] == b[5]
    day = a[6] == b[6] and a[7] == b[7]
    if year and a[4] == b[6] and a[5] == b[7] and a[6] == b[4] and a[7] == b[5]:
        return 2
    return 3 if int(year) + int(month) + int(day) == 2 else 4


@compiled("i8(i8, i8, i4[:,::1], u2[:,::1], i8[::1])")
def pattern_of(i: int, j: int, fields: I4, text: U2, size: I8) -> int:
    """Levels of two records as one number: given name, surname, birth date, address (5 each), insured number, sex (3).

    `fields` is (columns, n): given name, surname, two further surnames, birth date, street, house number, postcode,
    town, insured number, sex, as numbers of texts; 0 is missing.
    """
    given = name_level(fields[0, i], fields[0, j], text, size)
    surname = name_level(fields[1, i], fields[1, j], text, size)
    if surname > 2:
        for p in range(1, 4):
            for q in range(1, 4):
                if fields[p, i] != 0 and fields[p, i] == fields[q, j]:
                    surname = 2
    if given > 2 and surname > 2:  # swapped?
        x = name_level(fields[0, i], fields[1, j], text, size)
        y = name_level(fields[1, i], fields[0, j], text, size)
        if 1 <= x <= 2 and 1 <= y <= 2:
            given, surname = 2, 2
    born = date_level(fields[4, i], fields[4, j], text, size)
    street = name_level(fields[5, i], fields[5, j], text, size)
    number = fields[6, i] != 0 and fields[6, i] == fields[6, j]
    code = fields[7, i] != 0 and fields[7, i] == fields[7, j]
    town = name_level(fields[8, i], fields[8, j], text, size)
    place = code or town == 1 or town == 2
    near = street == 1 or street == 2
    if street == 0 and (fields[7, i] == 0 or fields[7, j] == 0) and town == 0:
        address = 0
    elif near and number and place:
        address = 1
    elif near and (number or code):
        address = 2
    elif place:
        address = 3
    elif street == 0:
        address = 0 if town == 0 and not code else 4
    else:
        address = 4
    insured = 0 if fields[9, i] == 0 or fields[9, j] == 0 else 1 if fields[9, i] == fields[9, j] else 2
    sex = 0 if fields[10, i] == 0 or fields[10, j] == 0 else 1 if fields[10, i] == fields[10, j] else 2
    number_of: int = ((((given * 5 + surname) * 5 + born) * 5 + address) * 3 + insured) * 3 + sex
    return number_of


@compiled("void(i8[::1], i8[::1], i4[:,::1], u2[:,::1], i8[::1], i8[::1])")
def compare_pairs(first: I8, second: I8, fields: I4, text: U2, size: I8, out: I8) -> None:
    """Patterns of the pairs (first[k], second[k]) into `out`."""
    for k in range(first.shape[0]):
        out[k] = pattern_of(first[k], second[k], fields, text, size)


@compiled(
    "i8(i8[::1], i8[::1], i4[:,::1], i8, i4[:,::1], u2[:,::1], i8[::1], i8[::1], b1[::1], i8[::1], i8[::1], i8[::1])"
)
def scan_pass(
    order: I8,
    starts: I8,
    blocks: I4,
    at: int,
    fields: I4,
    text: U2,
    size: I8,
    counts: I8,
    wanted: Any,
    first: I8,
    second: I8,
    pattern: I8,
) -> int:
    """Compare all pairs that share a block in pass `at` and in no earlier pass.

    Args:
        order: record numbers, sorted by block.
        starts: (k + 1,) where each block starts in `order`, and the end.
        blocks: (passes, n) number of the block of each record, 0 = none.
        at: number of the pass.
        fields: as `pattern_of`.
        text: (texts, 63) u2, characters.
        size: (texts,) i8, lengths.
        counts: (patterns,) pairs per pattern, added to; empty = do not count.
        wanted: (patterns,) which patterns to write out; empty = none.
        first: smaller record number of each wanted pair, filled as far as it reaches.
        second: the larger one.
        pattern: its pattern.

    Returns:
        the number of wanted pairs.
    """
    found = 0
    listing = wanted.shape[0] > 0
    for k in range(starts.shape[0] - 1):
        for u in range(starts[k], starts[k + 1] - 1):
            i = order[u]
            for v in range(u + 1, starts[k + 1]):
                j = order[v]
                known = False
                for p in range(at):
                    if blocks[p, i] != 0 and blocks[p, i] == blocks[p, j]:
                        known = True
                        break
                if known:
                    continue
                level = pattern_of(i, j, fields, text, size)
                if listing:
                    if wanted[level]:
                        if found < first.shape[0]:
                            first[found] = min(i, j)
                            second[found] = max(i, j)
                            pattern[found] = level
                        found += 1
                else:
                    counts[level] += 1
    return found

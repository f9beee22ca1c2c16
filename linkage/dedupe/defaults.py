"""Values that stand for "not known" though no list of placeholders has them: dates and numbers that too many share.

Two records that share a default value have nothing in common; taken for evidence, the pairs of the few hundred records
with it outnumber all pairs of one person, and the model learns from them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from linkage.normalise import Prepared
from linkage.schema import COMPONENTS, Schema

_LEAST = 20  # records; fewer share a date by chance in any source
_TIMES = 10  # more often than the date of the median record
_INSURED = 5  # records with one insured number: a patient is not in a source that often


def without_defaults(schema: Schema, prepared: Prepared) -> tuple[Prepared, int]:
    """The records with default dates of birth and insured numbers as missing, and how many values that took.

    Args:
        schema: whose fields there are.
        prepared: n records.
    """
    taken = 0
    values, components = dict(prepared.values), dict(prepared.components)
    for field in schema.fields:
        column = values[field.name]
        if field.kind == "birth_date":
            bad = _frequent(column)
        elif field.kind == "insured_number":
            bad = {v for v, count in Counter(column).items() if v and count > _INSURED}
        else:
            continue
        if not bad:
            continue
        hit = [v in bad for v in column]
        taken += sum(hit)
        values[field.name] = ["" if h else v for v, h in zip(column, hit, strict=True)]
        for name, parts in components.items():
            if field.kind in COMPONENTS[name]:
                components[name] = ["" if h else v for v, h in zip(parts, hit, strict=True)]
    return replace(prepared, values=values, components=components), taken


def _frequent(column: list[str]) -> set[str]:
    """Values that more than 20 records have, and ten times as many as have the value of the median record."""
    counts = Counter(v for v in column if v)
    if not counts:
        return set()
    per_record = np.repeat(list(counts.values()), list(counts.values()))
    limit = max(_LEAST, _TIMES * int(np.median(per_record)))
    return {v for v, count in counts.items() if count > limit}

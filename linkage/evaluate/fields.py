"""Two records field by field, where both plaintexts lie on one desk, and which passes brought them together."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from linkage.dedupe.find import text_numbers
from linkage.dedupe.listing import WORDS
from linkage.dedupe.model import levels_of
from linkage.normalise import prepare
from linkage.schema import Schema


class FieldPair(msgspec.Struct, frozen=True, kw_only=True):
    """One field of two records, normalised.

    Attributes:
        name: of the field.
        a: value of the first record, "" = missing.
        b: of the second.
    """

    name: str
    a: str
    b: str


class SideBySide(msgspec.Struct, frozen=True, kw_only=True):
    """Two records in plaintext: never leaves the desk where both lie.

    Attributes:
        fields: their values.
        likeness: given name, surname, … → a word ("equal", "close", …); "" where one side is missing.
        together: passes in which the two share a block.
        apart: passes in which they do not, though both have all components.
        missing: passes of which one of them lacks a component.
    """

    fields: list[FieldPair]
    likeness: dict[str, str]
    together: list[str]
    apart: list[str]
    missing: list[str]

    def __repr__(self) -> str:
        return f"SideBySide({len(self.fields)} fields)"


def side_by_side(schema: Schema, a: Mapping[str, str], b: Mapping[str, str]) -> SideBySide:
    """Compare two records.

    Args:
        schema: under which both were encoded.
        a: field → raw value of the first record.
        b: of the second.

    Raises:
        ColumnsError: a field that the schema does not have.
    """
    from linkage.kernels.compare import compare_pairs

    names = [*a, *(name for name in b if name not in a)]
    prepared = prepare(schema, {name: [a.get(name, ""), b.get(name, "")] for name in names}, further=True)
    numbers, text, size = text_numbers(schema, prepared)
    pattern = np.zeros(1, np.int64)
    compare_pairs(np.zeros(1, np.int64), np.ones(1, np.int64), numbers, text, size, pattern)
    levels = {name: int(level[0]) for name, level in levels_of(pattern).items()}
    sorted_passes: dict[str, list[str]] = {"together": [], "apart": [], "missing": []}
    for rule in schema.passes:
        left, right = ([prepared.components[part][i] for part in rule.parts] for i in (0, 1))
        kind = "missing" if not (all(left) and all(right)) else "together" if left == right else "apart"
        sorted_passes[kind].append(rule.name)
    return SideBySide(
        fields=[
            FieldPair(name=f.name, a=prepared.values[f.name][0], b=prepared.values[f.name][1]) for f in schema.fields
        ],
        likeness={name: WORDS[name][level] for name, level in levels.items()},
        **sorted_passes,
    )

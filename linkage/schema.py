"""Linkage schemas: which fields, how they are normalised, and which passes a record becomes.

A schema is a strict JSON file (docs/spec/linkage-schema.md). Its fingerprint travels with every encoding, so
that two sites can see that they encode alike without comparing a single record.
"""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

import msgspec

from linkage.errors import SchemaError, UnknownSchemaError
from linkage.profiles import NAMED, PASS_VALUES
from linkage.tables import FURTHER

MOST_ROWS = 64  # per record

Kind = Literal[
    "given_name",
    "surname",
    "birth_date",
    "sex",
    "street",
    "house_number",
    "postcode",
    "town",
    "insured_number",
]
Rules = Literal["german/1", "febrl/1"]
Phonetics = Literal["cologne", "soundex"]

# Component → the kinds of field it is made of. A schema may use a component only if it has all of them.
COMPONENTS: dict[str, tuple[Kind, ...]] = {
    "G": ("given_name",),
    "S": ("surname",),
    "g3": ("given_name",),
    "s3": ("surname",),
    "{g3,s3}": ("given_name", "surname"),
    "{G,S}": ("given_name", "surname"),
    "pc": ("postcode",),
    "no": ("house_number",),
    "ad4": ("street",),
    "y": ("birth_date",),
    "md~": ("birth_date",),
    "kv": ("insured_number",),
}

# Group of further values (normalisation.md, section 10) → the components that a further value replaces.
GROUPS: dict[str, tuple[str, ...]] = {
    "surname": ("S", "s3", "{g3,s3}", "{G,S}"),
    "given_name": ("G", "g3", "{g3,s3}", "{G,S}"),
    "address": ("ad4", "no", "pc"),
}

# The parts of every named profile; `linkage.profiles` has the rest of them.
PROFILES: dict[str, tuple[tuple[str, ...], ...]] = {n: tuple(p.parts for p in v.passes) for n, v in NAMED.items()}

_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,62}(?![\s\S])")]
_SchemaName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,62}/[1-9][0-9]{0,3}(?![\s\S])")]
_Profile = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,62}(?![\s\S])")]
_PassName = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,64}(?![\s\S])")]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable, unknown keys refused; every key required but `values` of a pass."""


class Field(_Strict, frozen=True):
    """One field of a record and how its value enters the base filter.

    Attributes:
        name: column name on our side.
        kind: decides the normalisation and which components the field feeds.
        grams: "bigram" over the value padded by one underscore on each side, or "positional" (position and character).
        k: positions of the base filter per gram.
    """

    name: _Name
    kind: Kind
    grams: Literal["bigram", "positional"]
    k: Annotated[int, msgspec.Meta(ge=1, le=64)]


class Pass(_Strict, frozen=True, omit_defaults=True):
    """A blocking rule: a block value of a record is a tuple of the parts, missing if any part is.

    Attributes:
        name: for people; the order in the schema is what identifies a pass in a row.
        parts: component names.
        cap: with more rows than this in one block of one site, all of them become dummies.
        values: rows per record, for as many block values; above 1, further values of names and addresses count too.
    """

    name: _PassName
    parts: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=8)]
    cap: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    values: PASS_VALUES = 1  # left out of the file where it is 1, so that older schemas keep their fingerprints


class EncodingParams(_Strict, frozen=True):
    """Sizes of the encoding, in bits.

    Attributes:
        suite: the construction; fixes base_bits and bits, because a row has 32 bytes of filter.
        base_bits: length of the base filter.
        bits: length of the filter of a row.
        taps: base bits that are combined into one bit of a row.
    """

    suite: Literal["keyed-passes/1"]
    base_bits: Annotated[int, msgspec.Meta(ge=2048, le=2048)]
    bits: Annotated[int, msgspec.Meta(ge=256, le=256)]
    taps: Annotated[int, msgspec.Meta(ge=1, le=64)]


class Schema(_Strict, frozen=True):
    """A linkage schema: the file says everything that counts.

    Attributes:
        name: "family/version".
        profile: the set of passes; those of `linkage.profiles` are fixed, any other name is the author's.
        rules: the version of the normalisation rules.
        phonetics: the code behind the components G and S.
        levels: four upper bounds on differing bits of a row, ascending.
    """

    name: _SchemaName
    profile: _Profile
    rules: Rules
    phonetics: Phonetics
    encoding: EncodingParams
    levels: tuple[int, int, int, int]
    fields: Annotated[tuple[Field, ...], msgspec.Meta(min_length=1, max_length=32)]
    passes: Annotated[tuple[Pass, ...], msgspec.Meta(min_length=1, max_length=64)]

    def canonical(self) -> bytes:
        """The schema as canonical JSON: sorted keys, no white space, UTF-8."""
        return msgspec.json.encode(self, order="sorted")

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the canonical JSON, 64 lower-case hex digits."""
        return hashlib.sha256(self.canonical()).hexdigest()

    @property
    def P(self) -> int:  # noqa: N802  (the symbol of the specification)
        """Rows per record: one per pass and value."""
        return sum(p.values for p in self.passes)

    @property
    def several(self) -> bool:
        """Whether a pass takes further values of names or addresses."""
        return any(p.values > 1 for p in self.passes)

    @property
    def caps(self) -> tuple[int, ...]:
        """The cap of each pass by its number; the last one again up to P entries, for stores that count in rows."""
        caps = [p.cap for p in self.passes]
        return (*caps, *caps[-1:] * (self.P - len(caps)))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table that an encoding needs, in order."""
        return (*(f.name for f in self.fields), *(FURTHER if self.several else ()))

    @property
    def components(self) -> tuple[str, ...]:
        """Every component that a pass uses, in order of first use."""
        return tuple(dict.fromkeys(part for p in self.passes for part in p.parts))

    def field_of(self, kind: Kind) -> Field | None:
        """The field of a kind, or None: a schema has at most one."""
        return next((f for f in self.fields if f.kind == kind), None)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read and check a schema file.

        Raises:
            SchemaError: not JSON, an unknown, missing or ill-typed key, or rules that contradict each other.
        """
        try:
            schema = msgspec.json.decode(data, type=cls)
        except msgspec.ValidationError as e:
            raise SchemaError("the schema is not valid: " + _safe(str(e)), where=_path(str(e))) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise SchemaError("the schema is not JSON in UTF-8") from None
        _check(schema)
        return schema


def shipped() -> tuple[str, ...]:
    """Names of the schemas that ship with the product."""
    folder = resources.files("linkage") / "data" / "schemas"
    names = (f.name.removesuffix(".json") for f in folder.iterdir() if f.name.endswith(".json"))
    return tuple(sorted("/".join(n.rsplit("-", 1)) for n in names))


def load(name_or_path: str | Path) -> Schema:
    """A shipped schema by name ("de-person/1", "febrl/1") or a schema file by path.

    Raises:
        UnknownSchemaError: neither a shipped name nor an existing file.
        SchemaError: the file is not a valid schema.
    """
    text = str(name_or_path)
    if re.fullmatch(r"[a-z][a-z0-9-]*/[1-9][0-9]*", text) and text in shipped():
        file = resources.files("linkage") / "data" / "schemas" / (text.replace("/", "-") + ".json")
        return Schema.parse(file.read_bytes())
    path = Path(name_or_path)
    if not path.is_file():
        raise UnknownSchemaError(
            "no such schema", hint="shipped schemas: " + ", ".join(shipped()) + "; or give the path of a file"
        )
    try:
        data = path.read_bytes()
    except OSError as e:
        raise SchemaError("the schema file cannot be read", hint=e.strerror or "") from None
    return Schema.parse(data)


def _check(schema: Schema) -> None:
    """What types cannot say.

    Raises:
        SchemaError: always with the place in the schema.
    """
    _unique([f.name for f in schema.fields], "fields")
    _unique([f.kind for f in schema.fields], "fields", what="kind")
    _unique([p.name for p in schema.passes], "passes")
    _unique(["+".join(p.parts) for p in schema.passes], "passes", what="combination of parts")
    kinds = {f.kind for f in schema.fields}
    for i, p in enumerate(schema.passes):
        for part in p.parts:
            if part not in COMPONENTS:
                raise SchemaError(
                    "a pass uses an unknown component",
                    hint="components: " + " ".join(COMPONENTS),
                    where=f"passes[{i}]",
                )
            if lacking := [k for k in COMPONENTS[part] if k not in kinds]:
                raise SchemaError(f"the component {part} needs a field of kind {lacking[0]}", where=f"passes[{i}]")
        _unique(list(p.parts), f"passes[{i}]", what="part")
        if p.values > 1 and not any(part in GROUPS[group] for group in GROUPS for part in p.parts):
            raise SchemaError("a pass without a name or an address has one value", where=f"passes[{i}]")
    if schema.P > MOST_ROWS:
        raise SchemaError(f"a record becomes {MOST_ROWS} rows at most", where="passes")
    if schema.several and schema.rules != "german/1":
        raise SchemaError("these rules know no further values", where="rules")
    bits = schema.encoding.bits
    if list(schema.levels) != sorted(set(schema.levels)) or not 0 <= schema.levels[0] <= schema.levels[3] < bits:
        raise SchemaError("levels must ascend and stay below the number of bits", where="levels")
    promised = NAMED.get(schema.profile)
    if promised is not None and tuple((p.parts, p.values) for p in schema.passes) != promised.shape:
        raise SchemaError(
            "the passes are not those of the profile",
            hint="give the profile a name of its own: densities were measured for exactly these passes",
            where="profile",
        )


def _unique(names: list[str], where: str, *, what: str = "name") -> None:
    if len(set(names)) != len(names):
        raise SchemaError(f"a {what} occurs twice", where=where)


def _path(message: str) -> str:
    found = re.search(r"at `\$\.?([^`]*)`", message)
    return found.group(1) if found else ""


def _safe(message: str) -> str:
    """What msgspec found, in words that hold nothing of the file."""
    if "unknown field" in message:
        return "an unknown key"
    if found := re.search(r"missing required field `(\w+)`", message):
        return f"the key {found.group(1)} is missing"
    return "a key has a value of the wrong type or outside its range"

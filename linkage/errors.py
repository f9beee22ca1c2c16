"""The error tree of `linkage`.

    LinkageError
    ├── SchemaError            a linkage schema is malformed or contradicts itself
    │   └── UnknownSchemaError no schema of that name ships, and no such file exists
    ├── TableError             a CSV table cannot be read as patients
    │   ├── EncodingError      not UTF-8
    │   ├── ColumnError        a column that is needed is not there, or is named twice
    │   └── RowError           one row is ragged, or its id is empty or repeated
    ├── MissingExtraError      an optional package is needed and not there
    ├── ColumnsError           the columns handed to `normalise.prepare` do not fit the schema
    ├── SynthError             a configuration of the generator that cannot be fulfilled
    ├── DuplicatesError        a list of duplicates that cannot be read, contradicts itself or is of another file
    ├── SecretsError           no 32 random bytes, or a version out of range
    ├── EncodeInputError       records and ids handed to `encode` do not fit each other
    ├── EncodeWorkError        a working directory of another encoding, or a damaged one
    │   └── EncodeWorkBusyError    another process encodes there
    ├── RowsFileError          not a rows or map file, or rows that cannot become one
    │   └── RowsFileDamagedError   cut, changed or not in canonical form
    ├── JoinInputError         rows, levels or caps handed to `join` contradict each other
    ├── PlanError              a working directory without plan, inputs that do not belong together, a missing chunk
    ├── ChunkError             workers died repeatedly over a chunk
    ├── TokenIndexError        no index there, or a window or rows file that does not fit it
    │   ├── TokenIndexDamagedError   a file of an index is missing, cut or changed
    │   └── TokenIndexBusyError      another process changes the index
    ├── MatchInputError        sources handed to `match` do not fit each other or the schema
    ├── VerdictError           people's decisions about pairs contradict each other
    ├── DensitiesError         no densities for these passes, or a damaged table
    └── ParametersError        no frozen parameters of a decision, or of another version

Messages and hints never contain a value of a record; `where` says where to look.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

Kind = Literal["usage", "not_found", "conflict", "limit", "policy", "verification", "unavailable", "internal"]


class LinkageError(Exception):
    """Base of everything that `linkage` raises on purpose.

    Attributes:
        code: stable snake_case name of the failure, unique in the product.
        kind: what the caller can do about it; decides the exit code and the HTTP status.
        message: what happened, safe to show and to log.
        hint: what to do next, or "".
        where: a position ("row 17", "chunk 4") or one of our field names, or "".
    """

    code: ClassVar[str] = "linkage_error"
    kind: ClassVar[Kind] = "usage"

    def __init__(self, message: str, *, hint: str = "", where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        return self.message


@contextmanager
def located(where: str) -> Iterator[None]:
    """Within it, an error that does not say where it arose says this."""
    try:
        yield
    except LinkageError as e:
        e.where = e.where or where
        raise


class SchemaError(LinkageError):
    """A linkage schema is malformed or contradicts itself."""

    code = "bad_schema"


class UnknownSchemaError(SchemaError):
    """No schema of that name ships with the product, and no such file exists."""

    code = "unknown_schema"
    kind = "not_found"


class TableError(LinkageError):
    """A table cannot be read."""

    code = "bad_table"


class EncodingError(TableError):
    """A table is not UTF-8."""

    code = "table_not_utf8"


class ColumnError(TableError):
    """A column that is needed is not there, is named twice, or is mapped to an unknown field."""

    code = "bad_column"


class RowError(TableError):
    """One row is ragged, or its id is empty or repeated."""

    code = "bad_row"


class MissingExtraError(LinkageError):
    """An optional package is needed and not installed."""

    code = "missing_extra"


class ColumnsError(LinkageError):
    """The columns handed to `normalise.prepare` do not fit the schema."""

    code = "bad_columns"


class SynthError(LinkageError):
    """A configuration of the generator that cannot be fulfilled."""

    code = "bad_synth_config"


class DuplicatesError(LinkageError):
    """A list of duplicates cannot be read, contradicts itself, or belongs to another file."""

    code = "bad_duplicates"


class SecretsError(LinkageError):
    """A study secret or site key that cannot be one: short, one byte repeated, or made of words."""

    code = "bad_secret"


class EncodeInputError(LinkageError):
    """Records and ids handed to `encode` do not fit each other."""

    code = "bad_encode_input"


class EncodeWorkError(LinkageError):
    """The working directory of an encoding is of another source or other secrets, or is damaged."""

    code = "other_encoding"
    kind = "conflict"


class EncodeWorkBusyError(EncodeWorkError):
    """Another process encodes in a working directory."""

    code = "encoding_busy"


class RowsFileError(LinkageError):
    """Not a rows or map file of this version, or rows that cannot become one."""

    code = "bad_rows_file"


class RowsFileDamagedError(RowsFileError):
    """A rows or map file was cut or changed, or is not in canonical form."""

    code = "rows_file_damaged"
    kind = "verification"


class JoinInputError(LinkageError):
    """Rows, levels or caps handed to `join` contradict each other."""

    code = "bad_join_input"


class PlanError(LinkageError):
    """A comparison cannot be planned so, or its working directory is not in order."""

    code = "bad_plan"


class ChunkError(LinkageError):
    """Workers died repeatedly over a chunk; what is done is kept."""

    code = "chunk_failed"
    kind = "unavailable"


class TokenIndexError(LinkageError):
    """There is no index in a directory, or a window or rows file does not fit it."""

    code = "bad_index"


class TokenIndexDamagedError(TokenIndexError):
    """A file of an index is missing, cut or changed."""

    code = "index_damaged"
    kind = "verification"


class TokenIndexBusyError(TokenIndexError):
    """Another process changes the index."""

    code = "index_busy"
    kind = "conflict"


class MatchInputError(LinkageError):
    """Sources handed to `match` do not fit each other or the schema."""

    code = "bad_match_input"


class VerdictError(LinkageError):
    """What people decided about pairs contradicts itself."""

    code = "bad_verdict"


class DensitiesError(LinkageError):
    """There are no densities for the passes of this schema, or a table of them is damaged."""

    code = "bad_densities"


class ParametersError(LinkageError):
    """Not the frozen parameters of a decision, or of another version."""

    code = "bad_parameters"

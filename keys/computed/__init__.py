"""Pseudonym suite "computed": docs/spec/pseudonym-computed.md.

Pure functions over numpy batches: `inner_blocks` and `open_inner` beside the database, `prp_blocks` inside
the key store, `format_blocks` and `parse` for the text form. Nothing here keeps a key.
"""

from __future__ import annotations

from .blocks import (
    BLOCK_BYTES,
    COUNTER_BITS,
    EPOCH_BITS,
    MAX_COUNTER,
    MAX_EPOCH,
    MAX_VERSION,
    NONCE_BYTES,
    Opened,
    inner_blocks,
    join_serial,
    open_inner,
    prp_blocks,
    split_serial,
)
from .text import (
    ALPHABET,
    MALFORMED,
    OK,
    TEXT_CHARS,
    WRONG_CHECK,
    Parsed,
    check,
    format_array,
    format_blocks,
    parse,
    parse_array,
    suggest,
)

SUITE = "computed"
SUITE_VERSION = 1

__all__ = [
    "ALPHABET",
    "BLOCK_BYTES",
    "COUNTER_BITS",
    "EPOCH_BITS",
    "MALFORMED",
    "MAX_COUNTER",
    "MAX_EPOCH",
    "MAX_VERSION",
    "NONCE_BYTES",
    "OK",
    "SUITE",
    "SUITE_VERSION",
    "TEXT_CHARS",
    "WRONG_CHECK",
    "Opened",
    "Parsed",
    "check",
    "format_array",
    "format_blocks",
    "inner_blocks",
    "join_serial",
    "open_inner",
    "parse",
    "parse_array",
    "prp_blocks",
    "split_serial",
    "suggest",
]

"""Keyed-pass encoding: secrets, record numbers, rows. numba is loaded by the first call that encodes."""

from __future__ import annotations

from linkage.encode.encoder import Columns, Encoded, encode
from linkage.encode.kept import forget
from linkage.encode.large import Sizes, encode_pieces
from linkage.encode.secrets import Secrets, record_numbers

__all__ = ["Columns", "Encoded", "Secrets", "Sizes", "encode", "encode_pieces", "forget", "record_numbers"]

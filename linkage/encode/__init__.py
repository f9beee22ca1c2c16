"""Keyed-pass encoding: secrets, record numbers, rows. numba is loaded by the first call of `encode`."""

from __future__ import annotations

from linkage.encode.encoder import Columns, Encoded, encode
from linkage.encode.secrets import Secrets, record_numbers

__all__ = ["Columns", "Encoded", "Secrets", "encode", "record_numbers"]

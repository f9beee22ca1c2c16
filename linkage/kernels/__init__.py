"""Compiled inner loops. Importing this package imports numba, so import it late and only where it is needed.

Every kernel has an explicit signature (compiled once, cached beside the module), releases the GIL, and touches
numbers only; keys enter `sha256` alone, where HMACs of many messages are computed. All arrays are C-contiguous and
writable.
"""

from __future__ import annotations

from linkage.kernels.cut import cut_rows
from linkage.kernels.edges import write_edges
from linkage.kernels.filters import expand_rows
from linkage.kernels.join import scan_blocks
from linkage.kernels.mixture import em
from linkage.kernels.onetoone import first_come, greedy
from linkage.kernels.pairs import edge_keys, fill_pairs
from linkage.kernels.refs import find_refs, sort_part

__all__ = [
    "cut_rows",
    "edge_keys",
    "em",
    "expand_rows",
    "fill_pairs",
    "find_refs",
    "first_come",
    "greedy",
    "scan_blocks",
    "sort_part",
    "write_edges",
]

"""Deterministic, key-agnostic record linkage over keyed passes.

    from linkage import Secrets, Source, encode, load_schema, match, prepare

Names are loaded on first use: importing this package imports neither numpy nor numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linkage.decide import Densities
    from linkage.encode import Encoded, Secrets, encode, record_numbers
    from linkage.errors import LinkageError
    from linkage.join import Edges, join
    from linkage.match import MatchResult, Source, match
    from linkage.normalise import Prepared, prepare
    from linkage.schema import Schema
    from linkage.schema import load as load_schema

_HOMES = {
    "Densities": "linkage.decide",
    "Edges": "linkage.join",
    "Encoded": "linkage.encode",
    "LinkageError": "linkage.errors",
    "MatchResult": "linkage.match",
    "Prepared": "linkage.normalise",
    "Schema": "linkage.schema",
    "Secrets": "linkage.encode",
    "Source": "linkage.match",
    "encode": "linkage.encode",
    "join": "linkage.join",
    "load_schema": "linkage.schema:load",
    "match": "linkage.match",
    "prepare": "linkage.normalise",
    "record_numbers": "linkage.encode",
}

__all__ = [
    "Densities",
    "Edges",
    "Encoded",
    "LinkageError",
    "MatchResult",
    "Prepared",
    "Schema",
    "Secrets",
    "Source",
    "encode",
    "join",
    "load_schema",
    "match",
    "prepare",
    "record_numbers",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = home.partition(":")
    value = getattr(import_module(module), attribute or name)
    globals()[name] = value
    return value

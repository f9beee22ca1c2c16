"""Deterministic, key-agnostic record linkage over keyed passes.

    from linkage import Secrets, Source, load_schema, prepare
    from linkage.encode import encode
    from linkage.join import join
    from linkage.match import match

The whole path, run by a test: docs/how-to/link-with-the-library.md.

Names are loaded on first use: importing this package imports neither numpy nor numba. The three functions stay in
their modules, because a module and a function of one name would hide each other.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linkage.decide import Densities
    from linkage.encode import Encoded, Secrets, record_numbers
    from linkage.errors import LinkageError
    from linkage.join import Edges
    from linkage.match import MatchResult, Source
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
    "load_schema": "linkage.schema:load",
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
    "load_schema",
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

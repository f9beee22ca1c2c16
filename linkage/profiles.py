"""Named profiles: sets of passes that ship as data, with what they are for and where they were measured.

A profile is a promise about the passes, because densities and attack figures were measured for exactly these. Whoever
changes a pass gives the profile a name of its own.
"""

from __future__ import annotations

from importlib import resources
from typing import Annotated

import msgspec

PASS_VALUES = Annotated[int, msgspec.Meta(ge=2, le=8)]


class ProfilePass(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One pass of a profile; the cap is a proposal, parts and values are the promise."""

    parts: tuple[str, ...]
    cap: Annotated[int, msgspec.Meta(ge=1)]
    values: PASS_VALUES = 1


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named set of passes.

    Attributes:
        name: as schemas give it.
        about: which fields and which sources it suits.
        measured: what was measured with it, and how good it was.
        passes: in order.
    """

    name: str
    about: str
    measured: str
    passes: tuple[ProfilePass, ...]

    @property
    def rows(self) -> int:
        """Rows per record."""
        return sum(p.values for p in self.passes)

    @property
    def shape(self) -> tuple[tuple[tuple[str, ...], int], ...]:
        """What a schema of this profile must have: parts and number of values of every pass."""
        return tuple((p.parts, p.values) for p in self.passes)


def _load() -> dict[str, Profile]:
    folder = resources.files("linkage") / "data" / "profiles"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    found = (msgspec.json.decode(f.read_bytes(), type=Profile) for f in files)
    return {p.name: p for p in found}


NAMED = _load()

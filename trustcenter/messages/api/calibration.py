"""Tables of counts that sites make of their own records, for a study that decides with them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from trustcenter.messages.common import Count, Hex32, Message, Name

_MOST_BYTES = 1 << 20


class CalibrationSend(Message, frozen=True, kw_only=True):
    """A site's table as `trustcenter linkage calibrate` writes it (docs/spec/keyed-passes.md, section 9.1)."""

    counts: Annotated[bytes, msgspec.Meta(max_length=_MOST_BYTES)]


class Calibration(Message, frozen=True, kw_only=True):
    """A table that is held: whose, the SHA-256 of its bytes as stored, and pairs of records in it."""

    site: Name
    sha256: Hex32
    sent: str
    matches: Count
    relatives: Count
    strangers: Count


class Calibrations(Message, frozen=True, kw_only=True):
    """What a study decides with.

    `decided_with` is the SHA-256 of the densities that its last run decided with, none before the first;
    `next_estimate` that of the densities that the next estimate of its weights would freeze. A site sees its own table
    only, and no hash over those of others.
    """

    source: Literal["shipped", "sites"]
    tables: list[Calibration]
    decided_with: Hex32 | None
    next_estimate: Hex32 | None

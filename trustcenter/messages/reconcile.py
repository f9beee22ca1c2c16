"""M7: what the rooms tell each other to be brought together again (docs/spec/rooms.md)."""

from __future__ import annotations

from .common import Count, Hex16, Message, Name
from .rooms import Params, Step, StudyPhase


class ReconcileStudy(Message, frozen=True, kw_only=True):
    """M7, first part, for each study: what it is, whose uploads are accepted, which window the registrar is at."""

    params: Params
    phase: StudyPhase
    accepted: list[Hex16]
    window: Count  # the registrar's newest


class ReconciledStudy(Message, frozen=True):
    """The comparator's newest window of a study; the next one has a greater number in both rooms."""

    window: Count


class ReconcileRefs(Message, frozen=True, kw_only=True):
    """M7, second part: all refs of a study that the registrar holds above `low` and up to `high` (None: the end)."""

    study: Name
    low: bytes
    high: bytes | None
    refs: bytes  # 16 bytes each, sorted, packed


class ReconciledRefs(Message, frozen=True):
    """Refs of these that have no row at the comparator, packed; and how many rows it dropped."""

    missing: bytes
    dropped: Count


class Rejoin(Message, frozen=True, kw_only=True):
    """M7, last part: these studies are all there are, and messages go on from this step."""

    studies: list[Name]
    step: Step

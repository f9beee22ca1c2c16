"""Retention: details of old entries are deleted by rules in the log, and a reader can tell that they were old.

Entries themselves stay: they hold nobody's identity, and the tree needs them. What can be deleted are the details
that entries only commit to. The entry of a deletion names the rule and the period; kind and time of every entry in
it are in the log, so that whoever has the log can check that nothing went that had to be kept (docs/spec/retention.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from .entries import Entry
from .events import Event

# Events whose entries commit to details, and what these are.
DETAILS: Final = {
    Event.RUN_APPLY.value: "pairs of records that a run decided on, and what opens their commitments",
    Event.PSEUDONYM_REIDENTIFY.value: "salts by which an entry is known to be about a pseudonym",
    Event.REIDENTIFY_REQUEST.value: "reasons and signed statements of re-identifications",
    Event.LINKAGE_PROPOSE.value: "reasons and signed statements of disclosures",
}
GRACE_DAYS: Final = 30  # between a rule and the first deletion by it
YEARS_MAX: Final = 100


@dataclass(frozen=True)
class Deletion:
    """Details that were deleted by a rule.

    Attributes:
        detail_of: the event whose entries committed to them.
        years: that they had to be kept.
        since, before: days, YYYY-MM-DD, of the entries: from, and up to but without; `since` is "" for the beginning.
        entries: how many entries of the event lie in between.
        details: how many rows were deleted.
        seq: the entry that tells of it.
    """

    detail_of: str
    years: int
    since: str
    before: str
    entries: int
    details: int
    seq: int


def years_before(day: date, years: int) -> date:
    """The same day that many years earlier; the 28th where there is no 29th of February."""
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return day.replace(year=day.year - years, day=28)


class RetentionRules:
    """Follows a log. Memory grows with days on which one of the few events happened, not with entries."""

    def __init__(self, *, whole: bool) -> None:
        """Begin.

        Args:
            whole: whether every entry of the log will be seen; of an extract less can be said.
        """
        self._whole = whole
        self._rules: dict[str, tuple[int, str]] = {}  # event: years, day on which that was said
        self._days: dict[str, Counter[str]] = {event: Counter() for event in DETAILS}
        self._before: dict[str, str] = {}
        self._proposals: dict[str, _Proposal] = {}
        self._two_people = False  # whether the program of this log asks for them: not before the first proposal
        self.deletions: list[Deletion] = []
        self.events: dict[str, Callable[[Entry], None]] = {
            **dict.fromkeys(DETAILS, self._count),
            Event.RETENTION_PROPOSE.value: self._propose,
            Event.RETENTION_APPROVE.value: self._approve,
            Event.RETENTION_SET.value: self._set,
            Event.DETAIL_DELETE.value: self._delete,
        }

    def _count(self, entry: Entry) -> None:
        self._days[entry.event][str(entry.time)[:10]] += 1

    def _propose(self, entry: Entry) -> None:
        self._two_people = True
        self._proposals[str(entry.data.get("proposal"))] = _Proposal(*_rule(entry), entry.who)

    def _approve(self, entry: Entry) -> None:
        known = self._proposals.get(str(entry.data.get("proposal")))
        if known is None:
            if self._whole:
                raise ValueError("a rule of retention was approved that nobody proposed")
            return
        if entry.who == known.by:
            raise ValueError("a rule of retention was approved by whoever proposed it")
        if _rule(entry) != known.rule:
            raise ValueError("another rule of retention was approved than was proposed")
        known.approved = True

    def _set(self, entry: Entry) -> None:
        event, years = _rule(entry)
        before = self._rules.get(event)
        if "proposal" in entry.data:
            known = self._proposals.pop(str(entry.data["proposal"]), None)
            if known is None and self._whole:
                raise ValueError("a rule of retention was set by a proposal that is not there")
            if known is not None and (not known.approved or known.rule != (event, years)):
                raise ValueError("a rule of retention was set that nobody else approved")
        elif self._two_people and (years < before[0] if before is not None else self._whole):
            raise ValueError("a rule of retention was shortened by one person")
        self._rules[event] = years, str(entry.time)[:10]

    def _delete(self, entry: Entry) -> None:
        found = _deletion(entry)
        event, today = found.detail_of, date.fromisoformat(str(entry.time)[:10])
        rule = self._rules.get(event)
        if rule is None and self._whole:
            raise ValueError("details were deleted without a rule")
        if rule is not None:
            if rule[0] != found.years:
                raise ValueError("details were deleted by another rule than the one in force")
            if date.fromisoformat(rule[1]) + timedelta(days=GRACE_DAYS) > today:
                raise ValueError("details were deleted before the rule was in force")
        if found.before > years_before(today, found.years).isoformat():
            raise ValueError("details were deleted that had to be kept")
        if found.since >= found.before or found.since != self._before.get(event, "" if self._whole else found.since):
            raise ValueError("the period of a deletion does not follow the one before")
        counted = sum(n for day, n in self._days[event].items() if found.since <= day < found.before)
        if self._whole and counted != found.entries:
            raise ValueError("a deletion tells another number of entries than there are")
        self._before[event] = found.before
        self.deletions.append(found)


@dataclass
class _Proposal:
    event: str
    years: int
    by: str
    approved: bool = False

    @property
    def rule(self) -> tuple[str, int]:
        return self.event, self.years


def _rule(entry: Entry) -> tuple[str, int]:
    event, years = entry.data.get("detail_of"), entry.data.get("years")
    if event not in DETAILS or type(years) is not int or not 1 <= years <= YEARS_MAX:
        raise ValueError("a rule of retention is not one")
    return str(event), years


def _deletion(entry: Entry) -> Deletion:
    data = entry.data
    words = {word: data.get(word) for word in ("detail_of", "years", "since", "before", "entries", "details")}
    texts = all(type(words[word]) is str for word in ("detail_of", "since", "before"))
    numbers = all(type(words[word]) is int for word in ("years", "entries", "details"))
    if not texts or not numbers or words["detail_of"] not in DETAILS or not 1 <= data["years"] <= YEARS_MAX:
        raise ValueError("a deletion does not say what rule it followed")
    for day in (data["before"], *([data["since"]] if data["since"] else [])):
        _check_day(day)
    return Deletion(seq=entry.seq, **words)  # type: ignore[arg-type]


def _check_day(text: str) -> None:
    try:
        good = date.fromisoformat(text).isoformat() == text
    except ValueError:
        good = False
    if not good:
        raise ValueError("a deletion has a day that is none")

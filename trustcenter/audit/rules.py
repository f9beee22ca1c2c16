"""What the entries of a log must say of each other: serials are used once, keys change state as they may.

A log may be whole and signed and still tell of something that must not happen. A reader of the whole log finds it here,
at the entry that breaks the rule. What a reader has not seen (an extract, a key made before the log said so) is unknown
and breaks nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Final

from .entries import Entry
from .events import Event

PRE_ACTIVE: Final = "pre-active"
ACTIVE: Final = "active"
SUSPENDED: Final = "suspended"
DEACTIVATED: Final = "deactivated"
COMPROMISED: Final = "compromised"
DESTROYED: Final = "destroyed"

# Event: states that a key may come from, the state it has then. Closing a domain takes an active key to destroyed.
_STEPS: Final = {
    Event.KEY_ACTIVATE.value: ({PRE_ACTIVE, SUSPENDED}, ACTIVE),
    Event.KEY_SUSPEND.value: ({ACTIVE}, SUSPENDED),
    Event.KEY_DEACTIVATE.value: ({ACTIVE, SUSPENDED}, DEACTIVATED),
    Event.KEY_COMPROMISE.value: ({PRE_ACTIVE, ACTIVE, SUSPENDED, DEACTIVATED}, COMPROMISED),
    Event.KEY_DESTROY.value: ({PRE_ACTIVE, ACTIVE, SUSPENDED, DEACTIVATED, COMPROMISED}, DESTROYED),
    Event.KEY_ABORT.value: ({PRE_ACTIVE}, DESTROYED),
}
_APPROVALS: Final = 2
_Key = tuple[str, str, int]  # domain, purpose, version


class Rules:
    """Follows a log. Memory grows with keys, open releases and gaps between serials, not with entries."""

    def __init__(self) -> None:
        self._serials: dict[tuple[str, int], tuple[list[int], list[int]]] = {}  # (domain, epoch): starts, ends
        self._keys: dict[_Key, str] = {}
        self._releases: dict[str, tuple[str, set[str]]] = {}  # release: who proposed, who approved
        self._handlers: dict[str, Callable[[Entry], None]] = {
            Event.PSEUDONYM_ISSUE.value: self._issue,
            Event.DOMAIN_CREATE.value: self._domain,
            Event.KEY_CREATE.value: self._create,
            Event.KEY_ROTATE.value: self._rotate,
            Event.KEY_ROLLBACK.value: self._rotate,
            **dict.fromkeys(_STEPS, self._step),
            Event.RELEASE_PROPOSE.value: self._propose,
            Event.RELEASE_APPROVE.value: self._approve,
            Event.RELEASE_COMPLETE.value: self._complete,
            Event.INSTANCE_RESTORE.value: self._restored,
            Event.INSTANCE_REOPEN.value: self._restored,
            Event.INSTANCE_MOVE.value: self._restored,
        }

    @property
    def events(self) -> dict[str, Callable[[Entry], None]]:
        """By event, what looks at an entry of it; events that are not here say nothing of others."""
        return self._handlers

    def see(self, entry: Entry) -> None:
        """Follow one entry.

        Raises:
            ValueError: it must not follow on those before. The message holds no value.
        """
        handler = self._handlers.get(entry.event)
        if handler is not None:
            handler(entry)

    def _issue(self, entry: Entry) -> None:
        data = entry.data
        domain, epoch, first, count = data.get("domain"), data.get("epoch"), data.get("first"), data.get("count")
        if type(domain) is not str or type(epoch) is not int or type(first) is not int or type(count) is not int:
            return
        if first < 1 or count < 1:
            raise ValueError("a range of serials is not possible")
        ranges = self._serials.get((domain, epoch))
        if ranges is None:
            ranges = self._serials[domain, epoch] = [], []
        _use(*ranges, first, first + count)
        version = data.get("key_version")
        if type(version) is int and self._keys.get((domain, "pseudonym", version), ACTIVE) != ACTIVE:
            raise ValueError("pseudonyms were issued under a key that was not active")

    def _domain(self, entry: Entry) -> None:
        name = entry.data.get("domain")
        self._unknown(name)
        for place in [place for place in self._serials if place[0] == name]:
            del self._serials[place]

    def _create(self, entry: Entry) -> None:
        key = _key(entry.data, "version")
        if key is None:
            return
        if self._keys.get(key, PRE_ACTIVE) != PRE_ACTIVE:
            raise ValueError("a key was made a second time")
        self._keys[key] = PRE_ACTIVE

    def _rotate(self, entry: Entry) -> None:
        """One key is suspended, another active, in one entry; the way back as well."""
        old, new = _key(entry.data, "from_version"), _key(entry.data, "to_version")
        if old is None or new is None:
            self._unknown(entry.data.get("domain"))
            return
        before = self._keys.get(old, ACTIVE)
        if before in (PRE_ACTIVE, DESTROYED):
            raise ValueError("a key was rotated that was not in use")
        if self._keys.get(new, PRE_ACTIVE) not in (PRE_ACTIVE, SUSPENDED):
            raise ValueError("a key became active that could not")
        self._keys[old] = SUSPENDED if before == ACTIVE else before  # a compromised key stays one
        self._keys[new] = ACTIVE

    def _step(self, entry: Entry) -> None:
        key = _key(entry.data, "version")
        if key is None:
            return
        before, after = _STEPS[entry.event]
        state = self._keys.get(key)
        if state is not None and state not in before:
            raise ValueError("a key went from one state to another that it could not reach")
        self._keys[key] = after

    def _propose(self, entry: Entry) -> None:
        release = entry.data.get("release")
        if type(release) is str:
            self._releases[release] = (entry.who, set())

    def _approve(self, entry: Entry) -> None:
        known = self._releases.get(str(entry.data.get("release")))
        if known is None:
            return
        if entry.who == known[0]:
            raise ValueError("a release was approved by whoever proposed it")
        known[1].add(entry.who)

    def _complete(self, entry: Entry) -> None:
        known = self._releases.pop(str(entry.data.get("release")), None)
        if known is not None and len(known[1]) < _APPROVALS:
            raise ValueError("a join map was released without two approvals")

    def _restored(self, entry: Entry) -> None:
        """The database may have gone back: states are unknown until an entry tells them again."""
        self._keys.clear()
        self._releases.clear()

    def _unknown(self, domain: object) -> None:
        for key in [key for key in self._keys if key[0] == domain]:
            del self._keys[key]


def _key(data: dict[str, Any], word: str) -> _Key | None:
    domain, purpose, version = data.get("domain"), data.get("purpose"), data.get(word)
    if type(domain) is not str or type(purpose) is not str or type(version) is not int:
        return None
    return domain, purpose, version


def _use(starts: list[int], ends: list[int], first: int, end: int) -> None:
    """Add [first, end) to ranges that do not meet, in place; the usual case is that it continues the last one.

    Raises:
        ValueError: it meets one of them.
    """
    if not starts or first > ends[-1]:
        starts.append(first)
        ends.append(end)
        return
    if first == ends[-1]:
        ends[-1] = end
        return
    at = bisect_right(starts, first)
    if (at and ends[at - 1] > first) or (at < len(starts) and starts[at] < end):
        raise ValueError("serials were issued a second time")
    starts.insert(at, first)
    ends.insert(at, end)

"""Verifying a bundle offline: one pass, flat memory, and the first broken part named."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Final

import msgspec

from trustcenter.errors import VerificationError

from . import canonical, entries, tree
from .chain import KeyChain, open_chain
from .events import Event
from .export import ENTRY_END, ENTRY_MIDDLE, ENTRY_START, FORMAT, FORMAT_2, extract_text
from .extract import Selection
from .known import KnownHeads, Witnesses
from .note import Checkpoint, check_fingerprint, fingerprint, open_note, parse_vkey
from .report import Report, broken, span
from .retention import RetentionRules
from .rules import Rules

_FRAME: Final = len(ENTRY_START) + 64 + len(ENTRY_MIDDLE) + len(ENTRY_END)
LINE_BYTES_MAX: Final = entries.LEAF_BYTES_MAX + _FRAME
_HASH: Final = slice(len(ENTRY_START), len(ENTRY_START) + 64)
_MIDDLE: Final = slice(_HASH.stop, _HASH.stop + len(ENTRY_MIDDLE))
_LEAF: Final = slice(_MIDDLE.stop, -len(ENTRY_END))
_NEW_ORIGIN: Final = {Event.INSTANCE_REOPEN.value, Event.INSTANCE_MOVE.value}
_OMITTED: Final = re.compile(rb'\{"level":(0|[1-9][0-9]?),"omitted":"([0-9a-f]{64})"\}\n\Z')
NO_WITNESSES: Final = Witnesses()
# These speak of a window that is frozen already, while a later one is open.
_OF_A_FROZEN_WINDOW: Final = {Event.WINDOW_COMPARE.value, Event.WINDOW_DELIVER.value}


def verify_bundle(
    stream: BinaryIO,
    *,
    fingerprint: str | None = None,
    old_checkpoints: Sequence[str] = (),
    witnesses: Witnesses = NO_WITNESSES,
    each: Callable[[entries.Entry, bytes, bytes], None] | None = None,
) -> Report:
    """Verify an exported log.

    Args:
        stream: the bundle, opened in binary mode.
        fingerprint: of the log's public key, from paper or from an earlier audit.
        old_checkpoints: signed notes of earlier heads, from wherever they were kept.
        witnesses: whose cosignatures must be on them.
        each: called with every entry, its leaf and its leaf hash, in order. What it is given is proven only once
            this function returns.

    Raises:
        BundleError: the bundle is not what was logged. `where` names the first broken part: "header",
            "public key", "handover 1", "entry 17", "entries 120 to 199" (changed between two known heads, line hashes
            included), "checkpoint", "signature", "end", "old checkpoint 1", or "witnesses".
    """
    return _Verifier(stream, fingerprint, old_checkpoints, witnesses, each).run()


class _Verifier:
    def __init__(
        self,
        stream: BinaryIO,
        fingerprint: str | None,
        old_checkpoints: Sequence[str],
        witnesses: Witnesses,
        each: Callable[[entries.Entry, bytes, bytes], None] | None,
    ) -> None:
        self._stream = stream
        self._expected = fingerprint
        self._old = old_checkpoints
        self._witnesses = witnesses
        self._each = each
        self._frontier: list[bytes] = []
        self._events: Counter[str] = Counter()
        self._first_time = self._last_time = ""
        self._windows: dict[str, int] = {}
        self._selection: dict[str, Any] | None = None
        self._digest = hashlib.sha256()  # of an extract's lines
        self._reopened, self._unclaimed = False, -1

    def run(self) -> Report:
        chain, size = self._header()
        self._room = entries.room_of(chain.first.name)
        self._reopened = "/epoch-" in chain.first.name
        self._known = KnownHeads(chain, size, self._old, self._witnesses)
        self._known.compare(0, self._frontier)
        self._retention = RetentionRules(whole=self._selection is None)
        self._entries(size)
        if self._unclaimed >= 0:
            broken("an entry tells of another audit key, and no key has signed for it", f"entry {self._unclaimed}")
        head, note = self._footer(chain)
        root = tree.root_of(self._frontier)
        if head.size != size:
            broken("the checkpoint is not of the number of entries in the header", "checkpoint")
        if len(head.extensions) > bool(head.separation):
            broken("the checkpoint says more than a head of a log does", "checkpoint")
        if not hmac.compare_digest(root, head.root):
            broken("the entries are not those that were signed", span(self._known.good, size))
        if self._selection is not None:
            self._signed(note, chain)
        if self._stream.read(1):
            broken("something follows the end of the bundle", "end")
        return Report(
            origin=chain.first.name,
            room=self._room,
            size=size,
            root=root.hex(),
            vkey=chain.first.vkey,
            fingerprint=fingerprint(chain.first.vkey),
            fingerprint_checked=self._expected is not None,
            first_time=self._first_time,
            last_time=self._last_time,
            checkpoints=len(self._old),
            events=self._events,
            keys=(fingerprint(chain.first.vkey), *(fingerprint(handover.key.vkey) for handover in chain.handovers)),
            entries=self._events.total(),
            selection=self._selection,
            witnesses=self._known.seen,
            agreed=self._known.agreed,
            deletions=tuple(self._retention.deletions),
            separation=head.separation,
        )

    def _header(self) -> tuple[KeyChain, int]:
        notes: list[str] = []
        try:
            line = self._line("header")
            self._digest.update(line + b"\n")
            header = canonical.decode(line)
            if not isinstance(header, dict) or header.get("format") not in (FORMAT, FORMAT_2):
                raise ValueError
            more = {"handovers", "selection"} if header["format"] == FORMAT_2 else set()
            if header.keys() != {"format", "origin", "size", "vkey"} | more:
                raise ValueError
            origin, size, vkey = header["origin"], header["size"], header["vkey"]
            if type(size) is not int or size < 0 or not isinstance(origin, str) or not isinstance(vkey, str):
                raise ValueError
            entries.room_of(origin)
            if more:
                notes = msgspec.convert(header["handovers"], list[str])
                msgspec.convert(header["selection"], Selection)
                self._selection = header["selection"] or None
        except (ValueError, msgspec.ValidationError):
            broken("this is not a bundle of a version that this program knows", "header")
        try:
            key = parse_vkey(vkey)
            if self._expected is not None:
                check_fingerprint(vkey, self._expected)
        except VerificationError as error:
            broken(error.message, "public key", error.hint)
        if key.name != origin:
            broken("the public key is not that of the log", "public key")
        try:
            chain = open_chain(key, notes)
        except VerificationError as error:
            broken(error.message, error.where or "handover 1")
        return chain, size

    def _entries(self, size: int) -> None:
        # The hot loop: names are local because a log has millions of entries.
        sha256, grow, parse, frontier = hashlib.sha256, tree.grow, entries.parse, self._frontier
        readline, events, order, room, each = self._stream.readline, self._events, self._order, self._room, self._each
        rules = Rules().events | self._retention.events
        known, handed = self._known, self._known.handed
        seq, digest_of = 0, self._digest.update if self._selection is not None else None
        while seq < size:
            line = readline(LINE_BYTES_MAX + 1)
            if digest_of is not None:
                digest_of(line)
            if line[: _HASH.start] != ENTRY_START or line[_MIDDLE] != ENTRY_MIDDLE or line[-2:] != ENTRY_END:
                seq = self._omitted(line, seq, size)
                continue
            leaf = line[_LEAF]
            digest = sha256(b"\x00" + leaf).digest()
            if digest.hex().encode() != line[_HASH]:
                broken("an entry does not have its hash", f"entry {seq}")
            try:
                entry = parse(leaf, room)
                if entry.seq != seq:
                    raise ValueError("one is missing, repeated or out of order")
                event = entry.event
                if event in rules:
                    rules[event](entry)
                if event == "operator:key:rotate" or seq in handed:
                    self._handover(entry)
                elif event in _NEW_ORIGIN:
                    self._unclaimed = -1
            except ValueError as error:
                broken(f"an entry is not valid: {error}", f"entry {seq}")
            order(entry)
            events[event] += 1
            grow(frontier, seq, digest)
            if each is not None:
                each(entry, leaf, digest)
            seq += 1
            if seq in known:
                known.compare(seq, frontier)

    def _omitted(self, line: bytes, seq: int, size: int) -> int:
        """Take the root of a subtree for the entries that an extract leaves out; returns the place after them."""
        found = _OMITTED.match(line) if self._selection is not None else None
        if found is None:
            broken(_reason(line), f"entry {seq}")
        level, end = int(found[1]), seq + (1 << int(found[1]))
        if seq & ((1 << level) - 1) or end > size:
            broken("entries were left out that cannot be one subtree", f"entry {seq}")
        if self._known.inside(seq, end):
            broken(
                "an extract leaves out the place of an earlier head",
                f"entry {seq}",
                "ask for the extract with the same --checkpoint, or for the whole log",
            )
        tree.grow_by(self._frontier, seq, level, bytes.fromhex(found[2].decode()))
        self._known.compare(end, self._frontier)
        return end

    def _handover(self, entry: entries.Entry) -> None:
        """A change of the audit key is told by the entry that follows the old key's last head, and by no other."""
        told = entry.data.get("to_fingerprint") if entry.data.get("purpose") == "audit" else None
        if entry.event != Event.KEY_ROTATE.value:
            told = None
        expected = self._known.handed.get(entry.seq)
        if told != expected:
            if expected is None and self._reopened:  # it was of the log's earlier origin, if a reopening follows
                self._unclaimed = entry.seq
                return
            raise ValueError("what it says of the audit key is not what the keys have signed")

    def _order(self, entry: entries.Entry) -> None:
        """Time never goes back; at the comparator, neither does the open window of a study."""
        if self._room == "registrar":
            time = str(entry.time)
            if time < self._last_time:
                broken("time goes back from one entry to the next", f"entry {entry.seq}")
            if not self._last_time:
                self._first_time = time
            self._last_time = time
            return
        study, window = str(entry.data.get("study", "")), entry.window
        assert isinstance(window, int)
        last = self._windows.get(study, 0)
        if entry.event in _OF_A_FROZEN_WINDOW:
            if window > last:
                broken("a window is compared before it is frozen", f"entry {entry.seq}")
        elif window < last and entry.event != Event.STUDY_PARAMS.value:  # a new study version counts anew
            broken("a window goes back from one entry to the next", f"entry {entry.seq}")
        else:
            self._windows[study] = window

    def _footer(self, chain: KeyChain) -> tuple[Checkpoint, str]:
        words = {"checkpoint"} if self._selection is None else {"checkpoint", "extract"}
        try:
            footer = canonical.decode(self._line("checkpoint"))
            if not isinstance(footer, dict) or footer.keys() != words:
                raise ValueError
            notes = {word: str(footer[word]) for word in words}
        except ValueError:
            broken("the checkpoint does not follow the last entry", "checkpoint")
        try:
            head = chain.open(notes["checkpoint"])
        except VerificationError as error:
            broken(error.message, error.where or "checkpoint")
        return head, notes.get("extract", "")

    def _signed(self, note: str, chain: KeyChain) -> None:
        """Of an extract, the choice is signed as well: another header, or entries left out later, do not fit."""
        try:
            text = open_note(note, [chain.last])
        except VerificationError as error:
            broken(error.message, "extract")
        if text != extract_text(chain.first.name, self._digest.digest()):
            broken("the extract is not the one that was signed", "extract")

    def _line(self, where: str) -> bytes:
        line = self._stream.readline(LINE_BYTES_MAX + 1)
        if line[-1:] != b"\n":
            broken("the bundle ends too early" if len(line) <= LINE_BYTES_MAX else "a line is too long", where)
        return line[:-1]


def _reason(line: bytes) -> str:
    if len(line) > LINE_BYTES_MAX:
        return "a line is too long"
    if line[-1:] != b"\n":
        return "the bundle ends too early"
    if line.startswith(b'{"checkpoint":'):
        return "entries are missing before the checkpoint"
    return "a line is not an entry"

"""Verifying a bundle offline: one pass, flat memory, and the first broken part named."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, NoReturn

import msgspec

from trustcenter.errors import BundleError, VerificationError

from . import canonical, entries, tree
from .chain import KeyChain, open_chain
from .events import Event
from .export import ENTRY_END, ENTRY_MIDDLE, ENTRY_START, FORMAT, FORMAT_2, extract_text
from .extract import Selection
from .note import Checkpoint, check_fingerprint, fingerprint, open_note, parse_vkey
from .rules import Rules

_FRAME: Final = len(ENTRY_START) + 64 + len(ENTRY_MIDDLE) + len(ENTRY_END)
LINE_BYTES_MAX: Final = entries.LEAF_BYTES_MAX + _FRAME
_HASH: Final = slice(len(ENTRY_START), len(ENTRY_START) + 64)
_MIDDLE: Final = slice(_HASH.stop, _HASH.stop + len(ENTRY_MIDDLE))
_LEAF: Final = slice(_MIDDLE.stop, -len(ENTRY_END))
_NEW_ORIGIN: Final = {Event.INSTANCE_REOPEN.value, Event.INSTANCE_MOVE.value}
_OMITTED: Final = re.compile(rb'\{"level":(0|[1-9][0-9]?),"omitted":"([0-9a-f]{64})"\}\n\Z')
# These speak of a window that is frozen already, while a later one is open.
_OF_A_FROZEN_WINDOW: Final = {Event.WINDOW_COMPARE.value, Event.WINDOW_DELIVER.value}


@dataclass(frozen=True)
class Report:
    """What was verified.

    Attributes:
        origin: the log.
        room: registrar or comparator.
        size: number of entries.
        root: Merkle root over them, 64 hex digits.
        vkey: the public key that signed.
        fingerprint: of the key, to be compared with the printed one.
        fingerprint_checked: whether it was compared here. Without it anybody could have signed.
        first_time: time of the first entry, "" if there is none.
        last_time: time of the last entry, "" if there is none.
        checkpoints: how many earlier checkpoints this log extends.
        events: entries per event.
        keys: fingerprints of the keys that signed one after the other, the first included.
        entries: how many entries are in the bundle; fewer than `size` in an extract.
        selection: what an extract was asked for. Its entries are proven; that there are no others is signed only.
    """

    origin: str
    room: str
    size: int
    root: str
    vkey: str
    fingerprint: str
    fingerprint_checked: bool
    first_time: str
    last_time: str
    checkpoints: int
    events: Counter[str]
    keys: tuple[str, ...] = ()
    entries: int = 0
    selection: dict[str, Any] | None = None


def verify_bundle(
    stream: BinaryIO,
    *,
    fingerprint: str | None = None,
    old_checkpoints: Sequence[str] = (),
    each: Callable[[entries.Entry, bytes, bytes], None] | None = None,
) -> Report:
    """Verify an exported log.

    Args:
        stream: the bundle, opened in binary mode.
        fingerprint: of the log's public key, from paper or from an earlier audit.
        old_checkpoints: signed notes of earlier heads, from wherever they were kept.
        each: called with every entry, its leaf and its leaf hash, in order. What it is given is proven only once
            this function returns.

    Raises:
        BundleError: the bundle is not what was logged. `where` names the first broken part: "header",
            "public key", "handover 1", "entry 17", "entries 120 to 199" (changed between two known heads, line hashes
            included), "checkpoint", "signature", "end", or "old checkpoint 1".
    """
    return _Verifier(stream, fingerprint, old_checkpoints, each).run()


class _Verifier:
    def __init__(
        self,
        stream: BinaryIO,
        fingerprint: str | None,
        old_checkpoints: Sequence[str],
        each: Callable[[entries.Entry, bytes, bytes], None] | None,
    ) -> None:
        self._stream = stream
        self._expected = fingerprint
        self._old = old_checkpoints
        self._each = each
        self._frontier: list[bytes] = []
        self._events: Counter[str] = Counter()
        self._good = 0  # size of the largest earlier head that the entries agree with
        self._first_time = self._last_time = ""
        self._windows: dict[str, int] = {}
        self._selection: dict[str, Any] | None = None
        self._digest = hashlib.sha256()  # of an extract's lines
        self._handed: dict[int, str] = {}  # index of the entry that must tell of a handover: fingerprint of the new key
        self._reopened, self._unclaimed = False, -1

    def run(self) -> Report:
        chain, size = self._header()
        self._room = entries.room_of(chain.first.name)
        self._reopened = "/epoch-" in chain.first.name
        marks = self._marks(chain, size)
        self._compare(0, marks)
        self._entries(size, marks)
        if self._unclaimed >= 0:
            _broken("an entry tells of another audit key, and no key has signed for it", f"entry {self._unclaimed}")
        head, note = self._footer(chain)
        root = tree.root_of(self._frontier)
        if head.size != size or head.extensions:
            _broken("the checkpoint is not of the number of entries in the header", "checkpoint")
        if not hmac.compare_digest(root, head.root):
            _broken("the entries are not those that were signed", _range(self._good, size))
        if self._selection is not None:
            self._signed(note, chain)
        if self._stream.read(1):
            _broken("something follows the end of the bundle", "end")
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
            _broken("this is not a bundle of a version that this program knows", "header")
        try:
            key = parse_vkey(vkey)
            if self._expected is not None:
                check_fingerprint(vkey, self._expected)
        except VerificationError as error:
            _broken(error.message, "public key", error.hint)
        if key.name != origin:
            _broken("the public key is not that of the log", "public key")
        try:
            chain = open_chain(key, notes)
        except VerificationError as error:
            _broken(error.message, error.where or "handover 1")
        return chain, size

    def _marks(self, chain: KeyChain, size: int) -> dict[int, list[tuple[str, bytes]]]:
        marks: dict[int, list[tuple[str, bytes]]] = {}
        for number, handover in enumerate(chain.handovers, 1):
            if handover.size >= size:
                _broken("a key was handed over after the end of the log", f"handover {number}")
            self._handed[handover.size] = fingerprint(handover.key.vkey)
            marks.setdefault(handover.size, []).append((f"the head at handover {number}", handover.root))
        for number, note in enumerate(self._old, 1):
            where = f"old checkpoint {number}"
            try:
                old = chain.open(note)
            except VerificationError as error:
                _broken("an earlier checkpoint is not signed by the key of this log: " + error.message, where)
            if old.size > size:
                _broken("the log is shorter than it was at an earlier checkpoint", where)
            marks.setdefault(old.size, []).append((f"earlier checkpoint number {number}", old.root))
        return marks

    def _entries(self, size: int, marks: dict[int, list[tuple[str, bytes]]]) -> None:
        # The hot loop: names are local because a log has millions of entries.
        sha256, grow, parse, frontier = hashlib.sha256, tree.grow, entries.parse, self._frontier
        readline, events, order, room, each = self._stream.readline, self._events, self._order, self._room, self._each
        rules, handed = Rules().events, self._handed
        seq, digest_of = 0, self._digest.update if self._selection is not None else None
        while seq < size:
            line = readline(LINE_BYTES_MAX + 1)
            if digest_of is not None:
                digest_of(line)
            if line[: _HASH.start] != ENTRY_START or line[_MIDDLE] != ENTRY_MIDDLE or line[-2:] != ENTRY_END:
                seq = self._omitted(line, seq, size, marks)
                continue
            leaf = line[_LEAF]
            digest = sha256(b"\x00" + leaf).digest()
            if digest.hex().encode() != line[_HASH]:
                _broken("an entry does not have its hash", f"entry {seq}")
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
                _broken(f"an entry is not valid: {error}", f"entry {seq}")
            order(entry)
            events[event] += 1
            grow(frontier, seq, digest)
            if each is not None:
                each(entry, leaf, digest)
            seq += 1
            if seq in marks:
                self._compare(seq, marks)

    def _omitted(self, line: bytes, seq: int, size: int, marks: dict[int, list[tuple[str, bytes]]]) -> int:
        """Take the root of a subtree for the entries that an extract leaves out; returns the place after them."""
        found = _OMITTED.match(line) if self._selection is not None else None
        if found is None:
            _broken(_reason(line), f"entry {seq}")
        level, end = int(found[1]), seq + (1 << int(found[1]))
        if seq & ((1 << level) - 1) or end > size:
            _broken("entries were left out that cannot be one subtree", f"entry {seq}")
        if any(seq < at < end for at in marks):
            _broken(
                "an extract leaves out the place of an earlier head",
                f"entry {seq}",
                "ask for the extract with the same --checkpoint, or for the whole log",
            )
        tree.grow_by(self._frontier, seq, level, bytes.fromhex(found[2].decode()))
        if end in marks:
            self._compare(end, marks)
        return end

    def _handover(self, entry: entries.Entry) -> None:
        """A change of the audit key is told by the entry that follows the old key's last head, and by no other."""
        told = entry.data.get("to_fingerprint") if entry.data.get("purpose") == "audit" else None
        if entry.event != Event.KEY_ROTATE.value:
            told = None
        expected = self._handed.get(entry.seq)
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
                _broken("time goes back from one entry to the next", f"entry {entry.seq}")
            if not self._last_time:
                self._first_time = time
            self._last_time = time
            return
        study, window = str(entry.data.get("study", "")), entry.window
        assert isinstance(window, int)
        last = self._windows.get(study, 0)
        if entry.event in _OF_A_FROZEN_WINDOW:
            if window > last:
                _broken("a window is compared before it is frozen", f"entry {entry.seq}")
        elif window < last and entry.event != Event.STUDY_PARAMS.value:  # a new study version counts anew
            _broken("a window goes back from one entry to the next", f"entry {entry.seq}")
        else:
            self._windows[study] = window

    def _compare(self, size: int, marks: dict[int, list[tuple[str, bytes]]]) -> None:
        root = tree.root_of(self._frontier)
        for name, expected in marks.get(size, ()):
            if not hmac.compare_digest(root, expected):
                _broken(f"the entries are not those of {name}", _range(self._good, size))
            self._good = size

    def _footer(self, chain: KeyChain) -> tuple[Checkpoint, str]:
        words = {"checkpoint"} if self._selection is None else {"checkpoint", "extract"}
        try:
            footer = canonical.decode(self._line("checkpoint"))
            if not isinstance(footer, dict) or footer.keys() != words:
                raise ValueError
            notes = {word: str(footer[word]) for word in words}
        except ValueError:
            _broken("the checkpoint does not follow the last entry", "checkpoint")
        try:
            head = chain.open(notes["checkpoint"])
        except VerificationError as error:
            _broken(error.message, error.where or "checkpoint")
        return head, notes.get("extract", "")

    def _signed(self, note: str, chain: KeyChain) -> None:
        """Of an extract, the choice is signed as well: another header, or entries left out later, do not fit."""
        try:
            text = open_note(note, [chain.last])
        except VerificationError as error:
            _broken(error.message, "extract")
        if text != extract_text(chain.first.name, self._digest.digest()):
            _broken("the extract is not the one that was signed", "extract")

    def _line(self, where: str) -> bytes:
        line = self._stream.readline(LINE_BYTES_MAX + 1)
        if line[-1:] != b"\n":
            _broken("the bundle ends too early" if len(line) <= LINE_BYTES_MAX else "a line is too long", where)
        return line[:-1]


def _reason(line: bytes) -> str:
    if len(line) > LINE_BYTES_MAX:
        return "a line is too long"
    if line[-1:] != b"\n":
        return "the bundle ends too early"
    if line.startswith(b'{"checkpoint":'):
        return "entries are missing before the checkpoint"
    return "a line is not an entry"


def _range(start: int, end: int) -> str:
    return f"entries {start} to {end - 1}" if end - start > 1 else f"entry {start}" if end > start else "checkpoint"


def _broken(message: str, where: str, hint: str = "") -> NoReturn:
    raise BundleError(message, where=where, hint=hint) from None

"""Verifying a bundle offline: one pass, flat memory, and the first broken part named."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, NoReturn

from trustcenter.errors import BundleError, VerificationError

from . import canonical, entries, tree
from .events import Event
from .export import ENTRY_END, ENTRY_MIDDLE, ENTRY_START, FORMAT
from .note import Checkpoint, Key, check_fingerprint, fingerprint, open_checkpoint, parse_vkey

_FRAME: Final = len(ENTRY_START) + 64 + len(ENTRY_MIDDLE) + len(ENTRY_END)
LINE_BYTES_MAX: Final = entries.LEAF_BYTES_MAX + _FRAME
_HASH: Final = slice(len(ENTRY_START), len(ENTRY_START) + 64)
_MIDDLE: Final = slice(_HASH.stop, _HASH.stop + len(ENTRY_MIDDLE))
_LEAF: Final = slice(_MIDDLE.stop, -len(ENTRY_END))
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


def verify_bundle(stream: BinaryIO, *, fingerprint: str | None = None, old_checkpoints: Sequence[str] = ()) -> Report:
    """Verify an exported log.

    Args:
        stream: the bundle, opened in binary mode.
        fingerprint: of the log's public key, from paper or from an earlier audit.
        old_checkpoints: signed notes of earlier heads, from wherever they were kept.

    Raises:
        BundleError: the bundle is not what was logged. `where` names the first broken part: "header",
            "public key", "entry 17", "entries 120 to 199" (changed between two known heads, line hashes
            included), "checkpoint", "signature", "end", or "old checkpoint 1".
    """
    return _Verifier(stream, fingerprint, old_checkpoints).run()


class _Verifier:
    def __init__(self, stream: BinaryIO, fingerprint: str | None, old_checkpoints: Sequence[str]) -> None:
        self._stream = stream
        self._expected = fingerprint
        self._old = old_checkpoints
        self._frontier: list[bytes] = []
        self._events: Counter[str] = Counter()
        self._good = 0  # size of the largest earlier head that the entries agree with
        self._first_time = self._last_time = ""
        self._windows: dict[str, int] = {}

    def run(self) -> Report:
        key, size = self._header()
        room = entries.room_of(key.name)
        self._room = room
        marks = self._marks(key, size)
        self._compare(0, marks)
        self._entries(size, marks)
        head = self._footer(key)
        root = tree.root_of(self._frontier)
        if head.size != size or head.extensions:
            _broken("the checkpoint is not of the number of entries in the header", "checkpoint")
        if not hmac.compare_digest(root, head.root):
            _broken("the entries are not those that were signed", _range(self._good, size))
        if self._stream.read(1):
            _broken("something follows the end of the bundle", "end")
        return Report(
            origin=key.name,
            room=room,
            size=size,
            root=root.hex(),
            vkey=key.vkey,
            fingerprint=fingerprint(key.vkey),
            fingerprint_checked=self._expected is not None,
            first_time=self._first_time,
            last_time=self._last_time,
            checkpoints=len(self._old),
            events=self._events,
        )

    def _header(self) -> tuple[Key, int]:
        try:
            header = canonical.decode(self._line("header"))
            if not isinstance(header, dict) or header.keys() != {"format", "origin", "size", "vkey"}:
                raise ValueError
            origin, size, vkey = header["origin"], header["size"], header["vkey"]
            if header["format"] != FORMAT or type(size) is not int or size < 0:
                raise ValueError
            if not isinstance(origin, str) or not isinstance(vkey, str):
                raise ValueError
            entries.room_of(origin)
        except ValueError:
            _broken("this is not a bundle of a version that this program knows", "header")
        try:
            key = parse_vkey(vkey)
            if self._expected is not None:
                check_fingerprint(vkey, self._expected)
        except VerificationError as error:
            _broken(error.message, "public key", error.hint)
        if key.name != origin:
            _broken("the public key is not that of the log", "public key")
        return key, size

    def _marks(self, key: Key, size: int) -> dict[int, list[tuple[int, bytes]]]:
        marks: dict[int, list[tuple[int, bytes]]] = {}
        for number, note in enumerate(self._old, 1):
            where = f"old checkpoint {number}"
            try:
                old = open_checkpoint(note, key)
            except VerificationError as error:
                _broken("an earlier checkpoint is not signed by the key of this log: " + error.message, where)
            if old.size > size:
                _broken("the log is shorter than it was at an earlier checkpoint", where)
            marks.setdefault(old.size, []).append((number, old.root))
        return marks

    def _entries(self, size: int, marks: dict[int, list[tuple[int, bytes]]]) -> None:
        # The hot loop: names are local because a log has millions of entries.
        sha256, grow, parse, frontier = hashlib.sha256, tree.grow, entries.parse, self._frontier
        readline, events, order, room = self._stream.readline, self._events, self._order, self._room
        for seq in range(size):
            line = readline(LINE_BYTES_MAX + 1)
            if line[: _HASH.start] != ENTRY_START or line[_MIDDLE] != ENTRY_MIDDLE or line[-2:] != ENTRY_END:
                _broken(_reason(line), f"entry {seq}")
            leaf = line[_LEAF]
            digest = sha256(b"\x00" + leaf).digest()
            if digest.hex().encode() != line[_HASH]:
                _broken("an entry does not have its hash", f"entry {seq}")
            try:
                entry = parse(leaf, room)
            except ValueError as error:
                _broken(f"an entry is not valid: {error}", f"entry {seq}")
            if entry.seq != seq:
                _broken("an entry is missing, repeated or out of order", f"entry {seq}")
            order(entry)
            events[entry.event] += 1
            grow(frontier, seq, digest)
            if seq + 1 in marks:
                self._compare(seq + 1, marks)

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

    def _compare(self, size: int, marks: dict[int, list[tuple[int, bytes]]]) -> None:
        root = tree.root_of(self._frontier)
        for number, expected in marks.get(size, ()):
            if not hmac.compare_digest(root, expected):
                _broken(f"the entries are not those of earlier checkpoint number {number}", _range(self._good, size))
            self._good = size

    def _footer(self, key: Key) -> Checkpoint:
        try:
            footer = canonical.decode(self._line("checkpoint"))
            if not isinstance(footer, dict) or footer.keys() != {"checkpoint"}:
                raise ValueError
            note = footer["checkpoint"]
            if not isinstance(note, str):
                raise ValueError
        except ValueError:
            _broken("the checkpoint does not follow the last entry", "checkpoint")
        try:
            return open_checkpoint(note, key)
        except VerificationError as error:
            _broken(error.message, error.where or "checkpoint")

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

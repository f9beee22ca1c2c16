"""Content of the key store as canonical JSON: docs/spec/key-store.md, section 3."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ._guard import Guarded, Secret
from .errors import KeyExistsError, KeysError, KeyStoreDamagedError, KeyStoreLimitError, UnknownKeyError
from .ids import KeyId, Purpose

CONTENT_FORMAT: Final = "trustcenter/key-store/1"
MATERIAL_BYTES: Final = 32
KCV_BYTES: Final = 8
MAX_ENTRIES: Final = 100_000
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class Entry(Guarded):
    """One key as the store holds it; material is None once destroyed.

    `operation` caches what was built from the material, so that it goes away with the entry.
    """

    __slots__ = ("created", "destroyed", "id", "kcv", "material", "operation")

    def __init__(self, key_id: KeyId, kcv: str, created: str, destroyed: str | None, material: Secret | None) -> None:
        self.id = key_id
        self.kcv = kcv
        self.created = created
        self.destroyed = destroyed
        self.material = material
        self.operation: object | None = None

    def without_material(self, now: str) -> Entry:
        """The entry that stays when the key is destroyed."""
        return Entry(self.id, self.kcv, self.created, now, None)


class _EntryJson(msgspec.Struct, forbid_unknown_fields=True):
    # Fields in the order of their names: that is the canonical order, and msgspec writes in this order.
    created: str
    destroyed: str | None
    kcv: str
    material: str | None
    purpose: Purpose
    scope: str
    version: int

    def __repr__(self) -> str:
        return "<key (redacted)>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class _ContentJson(msgspec.Struct, forbid_unknown_fields=True):
    entries: list[_EntryJson]
    format: str

    def __repr__(self) -> str:
        return "<keys (redacted)>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


def utc_now() -> str:
    """The time as the content writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def kcv(key_id: KeyId, material: Secret) -> str:
    """Key check value, 16 hex digits: names the key and binds it to its place, reveals nothing."""
    context = f"trustcenter/kcv/1\0{key_id.scope}\0{key_id.purpose}\0{key_id.version}\0".encode("ascii")
    return hashlib.sha256(context + material.reveal()).digest()[:KCV_BYTES].hex()


def encode(entries: Mapping[KeyId, Entry]) -> Secret:
    """Canonical JSON of the entries."""
    rows = [
        _EntryJson(
            created=entry.created,
            destroyed=entry.destroyed,
            kcv=entry.kcv,
            material=None if entry.material is None else base64.b64encode(entry.material.reveal()).decode("ascii"),
            purpose=key_id.purpose,
            scope=key_id.scope,
            version=key_id.version,
        )
        for key_id, entry in sorted(entries.items())
    ]
    return Secret(msgspec.json.encode(_ContentJson(entries=rows, format=CONTENT_FORMAT)))


def decode(content: Secret) -> dict[KeyId, Entry]:
    """Read canonical JSON strictly.

    Raises:
        KeyStoreDamagedError: not what `encode` writes, or a check value does not fit. The content is
            authentic when this is called, so this is a defect of a writer, not an attack.
    """
    try:
        parsed = msgspec.json.decode(content.reveal(), type=_ContentJson)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # The library's message may quote the content.
        raise _damaged("content") from None
    if parsed.format != CONTENT_FORMAT or len(parsed.entries) > MAX_ENTRIES:
        raise _damaged("format")
    entries: dict[KeyId, Entry] = {}
    for index, row in enumerate(parsed.entries):
        entry = _entry(row, f"entry {index}")
        entries[entry.id] = entry
    # Order, duplicates, white space, escapes: all in one comparison.
    if not hmac.compare_digest(encode(entries).reveal(), content.reveal()):
        raise _damaged("content")
    return entries


def _entry(row: _EntryJson, where: str) -> Entry:
    try:
        key_id = KeyId(row.scope, row.purpose, row.version)
    except KeysError:
        raise _damaged(where) from None
    times = [row.created] if row.destroyed is None else [row.created, row.destroyed]
    if not all(_TIME.fullmatch(time) for time in times) or not re.fullmatch("[0-9a-f]{16}", row.kcv):
        raise _damaged(where)
    if (row.destroyed is None) == (row.material is None):
        raise _damaged(where)
    if row.material is None:
        return Entry(key_id, row.kcv, row.created, row.destroyed, None)
    try:
        material = Secret(base64.b64decode(row.material, validate=True))
    except (binascii.Error, ValueError):
        raise _damaged(where) from None
    if len(material) != MATERIAL_BYTES or not hmac.compare_digest(kcv(key_id, material), row.kcv):
        raise _damaged(where)
    return Entry(key_id, row.kcv, row.created, None, material)


def _damaged(where: str) -> KeyStoreDamagedError:
    return KeyStoreDamagedError("the content of the key store is not well formed", where=where)


def with_new(entries: Mapping[KeyId, Entry], ids: Sequence[KeyId]) -> dict[KeyId, Entry]:
    """The entries and a random key for each id.

    Raises:
        KeyExistsError: one exists, or existed.
        KeyStoreLimitError: too many keys.
    """
    if any(key_id in entries for key_id in ids):
        raise KeyExistsError("a key with this name exists or existed", hint="take the next version")
    if len(entries) + len(ids) > MAX_ENTRIES:
        raise KeyStoreLimitError(f"a key store holds at most {MAX_ENTRIES} keys")
    now = utc_now()
    changed = dict(entries)
    for key_id in ids:
        material = Secret(os.urandom(MATERIAL_BYTES))
        changed[key_id] = Entry(key_id, kcv(key_id, material), now, None, material)
    return changed


def without(entries: Mapping[KeyId, Entry], ids: Sequence[KeyId]) -> dict[KeyId, Entry]:
    """The entries, those of `ids` destroyed.

    Raises:
        UnknownKeyError: one never existed.
    """
    if any(key_id not in entries for key_id in ids):
        raise UnknownKeyError("the key store has no such key")
    now = utc_now()
    living = {key_id: entries[key_id] for key_id in ids if entries[key_id].destroyed is None}
    return {**entries, **{key_id: entry.without_material(now) for key_id, entry in living.items()}}

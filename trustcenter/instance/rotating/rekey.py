"""Another passphrase for the key stores: the sealing key is exchanged, and nothing else changes."""

from __future__ import annotations

from dataclasses import dataclass

from keys.errors import WrongPassphraseError
from keys.store import KeyStore
from trustcenter.config import Config
from trustcenter.instance.parts import keys_path


@dataclass(frozen=True)
class Rekeyed:
    """What became of a room's key store: "sealed", "sealed before" (by an interrupted attempt), or "would be"."""

    room: str
    store: str
    generation: int
    state: str


def rekey(config: Config, old: bytes, new: bytes, *, dry_run: bool = False) -> list[Rekeyed]:
    """Seal the key store of both rooms under another passphrase. Repeat it if it was interrupted.

    Each file is exchanged as a whole or not at all (docs/spec/key-store.md, section 5).

    Raises:
        WrongPassphraseError: a store opens neither with the old passphrase nor with the new one.
        PassphraseError: the new one is too short.
        KeyStoreConflictError, KeyStoreUnavailableError, KeyStoreDamagedError: from opening and saving.
    """
    opened: list[tuple[str, KeyStore, bool]] = []
    for room in config.rooms:  # both, before anything is changed
        path = keys_path(config, room)
        try:
            opened.append((room, KeyStore.open(path, old), False))
        except WrongPassphraseError:
            opened.append((room, KeyStore.open(path, new), True))
    done = []
    for room, store, before in opened:
        if not dry_run and not before:
            store.change_passphrase(new)
        state = "sealed before" if before else "would be" if dry_run else "sealed"
        done.append(Rekeyed(room, store.store_id, store.generation, state))
    return done

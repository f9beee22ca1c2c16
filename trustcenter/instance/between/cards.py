"""Pairing of two rooms that are apart: each shows the other its card once, and keeps the other's.

A card holds a certificate, which is pinned, and public keys. Whoever could exchange a card on its way would stand
between the rooms: so both sides compare fingerprints by another way.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
from pathlib import Path

import msgspec

from keys import cards as member_cards
from keys.errors import KeysError
from keys.hybrid import RecipientKey
from keys.ids import Purpose
from keys.store import KeyStore
from trustcenter.audit import fingerprint
from trustcenter.client.files import replacing
from trustcenter.comparator import receipt_keys
from trustcenter.config import Config
from trustcenter.errors import ConfigError, ConflictError, UsageError, VerificationError
from trustcenter.instance.parts import keys_path, room_snapshot
from trustcenter.instance.rotating import room_key_record
from trustcenter.instance.rotating.audit_key import current
from trustcenter.messages.room_card import RoomCard

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)


def path(config: Config) -> Path:
    """Where the card of the other room is kept."""
    return config.path(config.files.peer)


def peer(config: Config) -> RoomCard | None:
    """The card of the other room; None where both are here, or they are not paired yet.

    Raises:
        ConfigError: it cannot be read.
    """
    if config.room == "both":
        return None
    try:
        return read(path(config).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, UsageError):
        raise ConfigError(
            "the card of the other room cannot be read", hint="trustcenter rooms pair DIR CARD", where="files.peer"
        ) from None


def pinned(config: Config) -> bytes | None:
    """SHA-256 of the certificate (DER) that was pinned; None where there is none."""
    card = peer(config)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(card.certificate)).digest() if card is not None else None


def read(content: bytes) -> RoomCard:
    """A card from its bytes.

    Raises:
        UsageError: it is none.
    """
    try:
        return msgspec.json.decode(content, type=RoomCard)
    except msgspec.MsgspecError:
        raise UsageError(
            "this is not the card of a room", code="bad_card", hint="trustcenter rooms card DIR makes one"
        ) from None


def make(config: Config, passphrase: bytes, url: str = "", *, by_hand: bool = False) -> RoomCard:
    """The card of the room that an instance holds.

    Args:
        config: of the instance.
        passphrase: of its key store.
        url: where the registrar reaches the comparator; "" at the comparator: the address it listens on.
        by_hand: the registrar does not reach it: files are carried.

    Raises:
        UsageError: a url that is not https. ConflictError: both rooms are here.
        ConfigError: no certificate. KeysError: the key store does not open.
    """
    room = config.room
    if url and not url.startswith("https://"):
        raise UsageError(
            "the registrar reaches the comparator over https only, also on one machine",
            code="bad_url",
            hint="the two know each other by their certificates, which http does not show",
            where="url",
        )
    if room == "both":
        raise ConflictError(
            "both rooms are in this instance: there is nothing to pair",
            code="rooms_together",
            hint="trustcenter init DIR --room comparator makes one of its own",
        )
    certificate = config.files.peer_certificate if room == "registrar" else config.server.certificate
    try:
        found = _PEM.search(config.path(certificate or "").read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError):
        found = None
    if found is None:
        raise ConfigError("the certificate that the other room would pin cannot be read", where="server.certificate")
    from trustcenter.instance.room_opening import make_log

    keys = KeyStore.open(keys_path(config, room), passphrase)
    with room_snapshot(config, room) as conn:
        instance = str(conn.execute("SELECT instance FROM instance").fetchone()[0])
        log = make_log(instance, room, keys, version=current(keys, conn))
        version = 0
        if room == "comparator":
            version = receipt_keys.current(keys, conn) if room_key_record.there(conn) else 1
    by_itself = room == "comparator" and not by_hand and not url
    if by_itself and config.server.anywhere:
        raise UsageError(
            "this room listens on every address of its machine: at which does the other one call it?",
            code="name_needed",
            hint="trustcenter rooms card DIR --url https://NAME:PORT",
        )
    return msgspec.convert(
        {
            "version": 1,
            "room": room,
            "instance": instance,
            "separation": config.separation,
            "url": "" if room == "registrar" or by_hand else url or config.server.url(),
            "certificate": found[0],
            "receipt_key": keys.public_key("instance", Purpose.RECEIPT, version).hex() if version else "",
            "log_key": fingerprint(log.vkey),
            "keys": member_cards.make_card(room, _room_key(config)).text,
        },
        type=RoomCard,
    )


def _room_key(config: Config) -> RecipientKey:
    """The key of this room for files that are carried by hand; made when it is first shown."""
    target = config.path(config.files.room_key)
    if not target.exists():
        RecipientKey.generate().save(target)
    return RecipientKey.load(target)


def keep(config: Config, card: RoomCard, expected: str) -> None:
    """Keep the card of the other room, from the next start on.

    Args:
        config: of the instance.
        card: of the other room.
        expected: its fingerprint as the other side read it out.

    Raises:
        VerificationError: another fingerprint. ConflictError: a card of the same room, or of another separation.
    """
    if card.fingerprint != "".join(c for c in expected.lower() if c not in " -:"):
        raise VerificationError(
            "the card does not have this fingerprint", code="wrong_room_card", hint="compare it once more; do not pair"
        )
    if config.room == "both" or card.room == config.room:
        raise ConflictError(
            "this is not the card of the other room",
            code="same_room",
            hint="the registrar keeps the comparator's, the comparator the registrar's",
        )
    if card.keys:
        try:
            named = member_cards.parse_card(card.keys).name
        except KeysError:
            named = ""
        if named != card.room:
            raise VerificationError("the key of the card is not that of its room", code="wrong_room_card")
    if card.separation != config.separation:
        raise ConflictError(
            "the two rooms declare different separation", code="separation_differs", hint="separation in config.toml"
        )
    target = path(config)
    target.parent.mkdir(mode=0o700, exist_ok=True)
    with replacing(target, force=True) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    target.chmod(0o600 if os.name == "posix" else target.stat().st_mode)

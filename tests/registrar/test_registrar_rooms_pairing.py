"""Pairing of two rooms: what a card is, whom it is kept for, and what happens without one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from trustcenter import config
from trustcenter.errors import ConfigError, ConflictError, TrustCenterError
from trustcenter.instance import setup
from trustcenter.instance.between import cards
from trustcenter.instance.between.remote import RemoteComparator
from trustcenter.messages.room_card import RoomCard

PASSPHRASE = b"correct horse battery staple"


async def room(folder: Path, name: str, separation: str = "process") -> tuple[config.Config, RoomCard]:
    await setup.create(folder, PASSPHRASE, port=8443, room=name, separation=separation)
    settings = config.load(folder)
    return settings, cards.make(settings, PASSPHRASE)


async def test_a_card_is_kept_for_the_right_room_and_fingerprint_only(tmp_path: Path) -> None:
    registrar, mine = await room(tmp_path / "registrar", "registrar")
    comparator, theirs = await room(tmp_path / "comparator", "comparator")
    assert theirs.receipt_key
    assert not mine.receipt_key
    for card, expected, code in (
        (theirs, "0" * 64, "wrong_room_card"),
        (mine, mine.fingerprint, "same_room"),
        (msgspec.structs.replace(theirs, separation="operator"), None, "separation_differs"),
    ):
        with pytest.raises(TrustCenterError) as caught:
            cards.keep(registrar, card, expected or card.fingerprint)
        assert caught.value.code == code
    # Over http nobody shows a certificate, also on the same machine: whoever listens there would be the comparator.
    with pytest.raises(TrustCenterError) as caught:
        cards.make(comparator, PASSPHRASE, "http://127.0.0.1:8444")
    assert caught.value.code == "bad_url"
    for url in ("http://127.0.0.1:8444", "https://a@127.0.0.1:8444", "ftp://comparator"):
        with pytest.raises(TrustCenterError) as caught:
            cards.read(msgspec.json.encode(msgspec.structs.replace(theirs, url=url)))
        assert caught.value.code == "bad_card"
    assert cards.peer(registrar) is None
    remote = RemoteComparator(registrar)
    await remote.start()
    with pytest.raises(TrustCenterError) as caught:
        await remote.state()
    assert caught.value.code == "not_paired"
    cards.keep(registrar, theirs, theirs.fingerprint.upper())
    assert cards.peer(registrar) == theirs
    cards.path(registrar).write_text("{}")
    with pytest.raises(ConfigError):
        cards.peer(registrar)
    with pytest.raises(ConfigError):
        config.require_room(comparator, "registrar")


async def test_an_instance_of_both_rooms_has_no_card_and_separation_none(tmp_path: Path) -> None:
    await setup.create(tmp_path / "both", PASSPHRASE, port=8443)
    settings = config.load(tmp_path / "both")
    with pytest.raises(ConflictError) as caught:
        cards.make(settings, PASSPHRASE)
    assert caught.value.code == "rooms_together"
    path = tmp_path / "both" / "config.toml"
    for line in ('separation = "process"\n', 'room = "comparator"\n', 'room = "attic"\n'):
        kept = path.read_text()
        path.write_text(line + kept)
        with pytest.raises(ConfigError):
            config.load(tmp_path / "both")
        path.write_text(kept)

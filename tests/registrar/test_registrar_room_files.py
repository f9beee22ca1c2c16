"""Files between the rooms against their vectors: who opens them, what stands in them, and what is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from keys._guard import Secret
from keys.cards import make_card
from keys.hybrid import RecipientKey
from trustcenter.errors import TrustCenterError, VerificationError
from trustcenter.instance.between import by_hand_comparator, room_files, settling
from trustcenter.messages import carried, reconcile
from trustcenter.messages.carried import CarriedMessage, RoomAnswers, RoomOrders, SettleAnswer, SettleOrder
from trustcenter.messages.room_card import RoomCard

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "rooms" / "room-file.json").read_text())
OTHER = {"registrar": "comparator", "comparator": "registrar"}


def end(room: str, **peer: Any) -> room_files.End:
    own, other = VECTORS["rooms"][room], VECTORS["rooms"][OTHER[room]]
    told = {"room": OTHER[room], "instance": other["instance"], "keys": other["card"], **peer}
    blank = {"version": 1, "separation": "operator", "url": "", "certificate": "", "receipt_key": "", "log_key": ""}
    card = msgspec.convert({**blank, **told}, type=RoomCard)
    return room_files.End(own["instance"], room, RecipientKey(Secret(bytes.fromhex(own["secret"]))), card)


@pytest.mark.parametrize(
    ("what", "reader"), [("orders", "comparator"), ("reconciling", "comparator"), ("answers", "registrar")]
)
def test_the_files_of_the_vectors_open(tmp_path: Path, what: str, reader: str) -> None:
    vector = VECTORS[what]
    path = tmp_path / "file"
    path.write_bytes(base64.b64decode(vector["bytes"]))
    assert room_files.digest_of(path) == vector["file"]
    with room_files.reading(path, end(reader)) as read:
        parts = [
            read.part(getattr(carried, one["kind"], None) or getattr(reconcile, one["kind"])) for one in vector["parts"]
        ]
        assert [json.loads(msgspec.json.encode(part)) for part in parts] == [one["json"] for one in vector["parts"]]
        assert read(1000).hex() == vector.get("edges", "")
    if isinstance(parts[0], RoomOrders):
        steps = [parts[0].before]
        for part in parts:
            if isinstance(part, CarriedMessage):
                steps.append(steps[-1].after(part.kind, part.payload))
        assert [[step.number, step.chain] for step in steps] == vector["steps"]
        looked = by_hand_comparator._look_through(path, end(reader))
        assert (looked.orders, looked.steps) == (parts[0], steps)
        assert looked.purged == (["lung"] if what == "orders" else [])


def test_whatever_is_changed_or_meant_for_others_is_refused(tmp_path: Path) -> None:
    path, whole = tmp_path / "file", base64.b64decode(VECTORS["orders"]["bytes"])

    def refused(content: bytes, reader: room_files.End, code: str) -> None:
        path.write_bytes(content)
        with pytest.raises(VerificationError) as caught, room_files.reading(path, reader) as read:
            read.part(RoomOrders)
        assert caught.value.code == code

    for at in (30, 120, 200, 1400, len(whole) - 1):  # signature, header, wrapped key, payload
        refused(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], end("comparator"), "damaged_room_file")
    refused(whole[:-1], end("comparator"), "damaged_room_file")
    refused(whole + b"\0", end("comparator"), "damaged_room_file")
    refused(b"T" + whole[1:], end("comparator"), "not_a_room_file")
    refused(whole.replace(b"file/2", b"file/1", 1), end("comparator"), "other_room_file_version")
    refused(b"", end("comparator"), "not_a_room_file")
    refused(whole, end("registrar"), "foreign_room_file")  # its own file, sealed to the other room
    stranger = make_card("registrar", RecipientKey.generate()).text
    refused(whole, end("comparator", keys=stranger), "damaged_room_file")  # not of the paired registrar
    refused(whole, end("comparator", instance="33" * 16), "damaged_room_file")


def test_a_file_that_is_written_now_is_read_again(tmp_path: Path) -> None:
    path, edges = tmp_path / "file", bytes(range(33)) * 5000
    answers = msgspec.convert(VECTORS["answers"]["parts"][0]["json"], type=RoomAnswers)
    made = room_files.write(path, end("comparator"), [room_files.part(answers), edges[:7], edges[7:]])
    assert made == room_files.digest_of(path)
    with room_files.reading(path, end("registrar")) as read:
        assert read.part(RoomAnswers) == answers
        assert read(33) + read(len(edges)) == edges
        assert read(1) == b""
    with room_files.reading(path, end("registrar")) as read, pytest.raises(VerificationError) as caught:
        read.part(RoomOrders)  # signed, and yet not what is wanted
    assert caught.value.code == "damaged_room_file"


def test_settlements_are_signed_as_in_the_vectors() -> None:
    order = SettleOrder(
        study="heart", source="north", turn=1_700_000_000, sequence=3, accepted=["ab" * 16], signature=""
    )
    answer = SettleAnswer(study="heart", source="north", turn=1_700_000_000, sequence=4, signature="")
    for said, vector, reader, context in (
        (order, VECTORS["settle"], "comparator", settling.ORDER),
        (answer, VECTORS["settled"], "registrar", settling.ANSWER),
    ):
        assert said.signed_bytes().decode() == vector["signed"]
        end(reader).verify(context, said.signed_bytes(), vector["signature"])
        with pytest.raises(VerificationError):
            end(reader).verify(context, said.signed_bytes() + b"\n", vector["signature"])
        with pytest.raises(VerificationError):
            end(OTHER[reader]).verify(context, said.signed_bytes(), vector["signature"])


@pytest.mark.parametrize(
    ("kind", "payload", "more", "code"),
    [
        ("forget", "{}", 0, "unknown_message"),
        ("retire", '{"study":1}', 0, "bad_message"),
        ("retire", '{"study":"heart","refs":""}', 2**40, "damaged_room_file"),
    ],
)
def test_a_file_of_a_registrar_whose_messages_are_not_known_here_is_refused_before_anything_is_done(
    tmp_path: Path, kind: str, payload: str, more: int, code: str
) -> None:
    """Signed by the paired room all the same: of another version, or one that lies."""
    orders = msgspec.convert(next(one for one in VECTORS["orders"]["parts"])["json"], type=RoomOrders)
    told = msgspec.structs.replace(orders, messages=1 + more)
    parts = (room_files.part(told), room_files.part(CarriedMessage(kind=kind, payload=payload)))
    room_files.write(tmp_path / "file", end("registrar"), parts)
    with pytest.raises(TrustCenterError) as caught:
        by_hand_comparator._look_through(tmp_path / "file", end("comparator"))
    assert caught.value.code == code

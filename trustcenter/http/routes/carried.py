"""Files that people carry between rooms that are apart, and settlements that sites carry (docs/spec/room-files.md)."""

from __future__ import annotations

import re

from trustcenter.errors import ConflictError, NotFoundError
from trustcenter.http.calls import OPERATOR, SITE, Answer, Binary, Call, Route
from trustcenter.instance.between import incoming, settling
from trustcenter.instance.between.by_hand import folder
from trustcenter.instance.between.by_hand_comparator import ComparatorFiles
from trustcenter.instance.between.by_hand_registrar import RegistrarFiles
from trustcenter.messages import carried


def _file(call: Call) -> str:
    name = call.path["file"]
    if not re.fullmatch("[0-9a-f]{64}", name):
        raise NotFoundError("there is nothing of this name")
    return name


def _part(call: Call) -> int:
    return call.integer("part", call.path["part"], 0, 9_999)


def _files(call: Call) -> RegistrarFiles | ComparatorFiles:
    if call.rooms.files is None:
        raise ConflictError(
            "the comparator of this registrar is reached over its connection",
            code="not_by_hand",
            hint="a card without an address is made with: trustcenter rooms card --by-hand",
        )
    return call.rooms.files


async def bring(call: Call) -> Answer:
    files, part = _files(call), _part(call)
    if part == 0 and isinstance(files, ComparatorFiles):
        files.begin()
    await incoming.put(folder(call.instance.config, call.instance.config.room), _file(call), part, call.body)
    return None


async def take(call: Call) -> Answer:
    files = _files(call)
    path = await incoming.whole(folder(call.instance.config, call.instance.config.room), _file(call))
    if isinstance(files, ComparatorFiles):
        return await files.take(path, _file(call))
    return await files.take(path, call.principal.name, call.request_id)


async def export(call: Call) -> Answer:
    files = _files(call)
    assert isinstance(files, RegistrarFiles)  # the comparator has no such route
    return await files.export(call.principal.name, call.request_id)


async def fetch(call: Call) -> Answer:
    return Binary(await incoming.get(_files(call).outgoing, _file(call), _part(call)))


async def settle_carried(call: Call) -> Answer:
    return await settling.carry_out(call.instance, call.principal.name, call.segment("study"), call.body)


async def settled(call: Call) -> Answer:
    await call.linking.settled(call.principal, call.segment("study"), call.body)
    return None


_BROUGHT = "/v1/rooms/incoming/{file}"
_SETTLEMENTS = "/v1/studies/{study}/settlements"
_BOTH = (
    Route(
        "PUT", _BROUGHT + "/{part}", "bringRoomFile", OPERATOR, "A part of a file of the other room's",
        bring, "bytes", status=204, kind="transfer",
    ),
    Route(
        "POST", _BROUGHT, "takeRoomFile", OPERATOR, "Carry out a file of the other room's, or ask how far that is",
        take, None, carried.RoomFileTaken,
    ),
    Route(
        "GET", "/v1/rooms/outgoing/{file}/{part}", "fetchRoomFile", OPERATOR,
        "A part of a file for the other room; an empty one ends it", fetch, None, "bytes", kind="transfer",
    ),
)  # fmt: skip
REGISTRAR = (
    *_BOTH,
    Route(
        "POST", "/v1/rooms/outgoing", "exportRoomFile", OPERATOR, "Make a file of all that the comparator has to be told",
        export, None, carried.RoomFile,
    ),
    Route(
        "PUT", _SETTLEMENTS, "bringSettled", SITE, "The comparator's answer to a settlement, brought by the site",
        settled, carried.SettleAnswer, status=204,
    ),
)  # fmt: skip
COMPARATOR = (
    *_BOTH,
    Route(
        "POST", _SETTLEMENTS, "carrySettlement", SITE, "Give up uploads without a map, as the registrar has signed it",
        settle_carried, carried.SettleOrder, carried.SettleAnswer,
    ),
)  # fmt: skip

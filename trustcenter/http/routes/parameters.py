"""M0 for sites: the parameters of a study as each room knows them, signed by that room."""

from __future__ import annotations

from keys.ids import Purpose
from keys.store import KeyStore
from trustcenter.comparator import parameters, receipt_keys
from trustcenter.errors import NotFoundError
from trustcenter.http.calls import SITE, Answer, Call, Route
from trustcenter.instance.rotating import audit_key
from trustcenter.messages.rooms import Params, RoomParameters
from trustcenter.registrar.rotating.keyring import INSTANCE
from trustcenter.registrar.study import studies
from trustcenter.store import Connection


async def signed(call: Call) -> Answer:
    study, site = call.segment("study"), call.principal
    match call.segment("room"):
        case "comparator":
            comparator = call.instance.comparator

            def rows(conn: Connection) -> tuple[Params, int]:
                return parameters.of_study(conn, study, site.name), receipt_keys.current(comparator.keys, conn)

            found, version = await comparator.db.read(rows)
            return _sign(call, "comparator", found, comparator.keys, Purpose.RECEIPT, version)
        case "registrar":
            registrar = call.instance.registrar

            def query(conn: Connection) -> tuple[Params, int]:
                told = studies.current_params(conn, studies.find(conn, study, site))
                return told, audit_key.current(registrar.keys, conn)

            found, version = await registrar.db.read(query)
            return _sign(call, "registrar", found, registrar.keys, Purpose.AUDIT, version)
    raise NotFoundError("there is no such room", code="unknown_room", hint="registrar or comparator")


def _sign(call: Call, room: str, params: Params, keys: KeyStore, purpose: Purpose, version: int) -> RoomParameters:
    return RoomParameters.sign(
        room,
        params,
        call.instance.config.separation,
        keys.public_key(INSTANCE, purpose, version),
        lambda message: keys.sign(INSTANCE, purpose, version, message),
    )


ROUTES = (
    Route(
        "GET", "/v1/studies/{study}/parameters/{room}", "signedParameters", SITE,
        "What a room knows of a study, signed by that room (M0)", signed, None, RoomParameters,
    ),
)  # fmt: skip

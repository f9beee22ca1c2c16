"""A source gives up what it left at the comparator, where the registrar cannot ask: the site carries the messages."""

from __future__ import annotations

import asyncio

import msgspec

from trustcenter.comparator import carried as comparator_carried
from trustcenter.errors import PolicyError
from trustcenter.messages.carried import SettleAnswer, SettleOrder
from trustcenter.registrar import carried, ledger
from trustcenter.store import Connection

from . import reconciling, room_files
from .opened import Instance

ORDER: str = "trustcenter/settle/1"
ANSWER: str = "trustcenter/settled/1"


async def order(instance: Instance, site: str, study: str) -> SettleOrder:
    """What a site takes to the comparator. No map of it is taken until it brings the answer.

    Raises:
        ConflictError: the rooms have not exchanged cards with keys.
    """
    registrar = instance.registrar
    end = await asyncio.to_thread(room_files.open_end, instance.config, instance.id)
    now = int(registrar.clock().timestamp())

    def effect(conn: Connection) -> SettleOrder:
        turn, accepted = carried.begin_settlement(conn, study, site, now)
        known = ledger.settled(conn, study, site)
        return SettleOrder(study=study, source=site, turn=turn, sequence=known, accepted=accepted, signature="")

    made = await registrar.db.write(effect)
    return msgspec.structs.replace(made, signature=end.sign(ORDER, made.signed_bytes()))


async def carry_out(instance: Instance, site: str, study: str, said: SettleOrder) -> SettleAnswer:
    """At the comparator, for the site that brings the order.

    Raises:
        PolicyError: it is of another site or study. VerificationError: not signed by the paired registrar.
        NotFoundError, ConflictError: see `comparator.carried.settle`.
    """
    end = await asyncio.to_thread(room_files.open_end, instance.config, instance.id)
    _require_own(site, study, said)
    end.verify(ORDER, said.signed_bytes(), said.signature)
    sequence = await comparator_carried.settle(instance.comparator, said)
    made = SettleAnswer(study=study, source=site, turn=said.turn, sequence=sequence, signature="")
    return msgspec.structs.replace(made, signature=end.sign(ANSWER, made.signed_bytes()))


async def take_answer(instance: Instance, site: str, study: str, said: SettleAnswer) -> None:
    """At the registrar again: maps of the site are taken from now on, for later receipts.

    Raises:
        PolicyError: it is of another site or study. VerificationError: not signed by the paired comparator.
        ConflictError: the answer to an earlier order.
    """
    registrar = instance.registrar
    end = await asyncio.to_thread(room_files.open_end, instance.config, instance.id)
    _require_own(site, study, said)
    end.verify(ANSWER, said.signed_bytes(), said.signature)

    def effect(conn: Connection) -> None:
        reconciling.require_near(said.sequence, ledger.settled(conn, study, site))
        carried.end_settlement(conn, study, site, said.turn, said.sequence)

    await registrar.db.write(effect)


def _require_own(site: str, study: str, said: SettleOrder | SettleAnswer) -> None:
    if (said.source, said.study) != (site, study):
        raise PolicyError("this settlement is of another site or study", code="foreign_settlement")

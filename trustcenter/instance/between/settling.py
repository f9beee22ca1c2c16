"""What a source left at the comparator is given up: before its next upload, or a week after the last.

Where the registrar cannot ask the comparator the site carries the messages.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import msgspec

from trustcenter.clock import stamp
from trustcenter.comparator import carried as comparator_carried
from trustcenter.errors import PolicyError
from trustcenter.instance.opened import Instance
from trustcenter.messages.carried import SettleAnswer, SettleOrder
from trustcenter.messages.rooms import Settle
from trustcenter.registrar.context import Context
from trustcenter.registrar.linking import carried, ledger
from trustcenter.store import Connection

from . import reconciling, room_files
from .port import Comparator

ORDER: str = "trustcenter/settle/1"
ANSWER: str = "trustcenter/settled/1"
_STAGED_DAYS: Final = 7  # that rows wait at the comparator for their map


async def settle(registrar: Context, comparator: Comparator, study: str, site: str, began: str = "") -> None:
    """Have the comparator drop what a source has staged, in the source's turn and after all that waits was told.

    Args:
        registrar: this room.
        comparator: the other.
        study: its name.
        site: the source.
        began: when it begins another upload, RFC 3339; "" if it does not.
    """
    known = await registrar.db.read(lambda conn: ledger.settled(conn, study, site))
    settled = await comparator.settle(Settle(study=study, source=site, sequence=known))
    reconciling.require_near(settled.sequence, known)
    await registrar.db.write(lambda conn: ledger.settle(conn, study, site, settled.sequence, began))


async def idle(registrar: Context) -> list[tuple[str, str]]:
    """Sources that began their last upload a week ago, and may have left some of it staged: study and site."""
    until = stamp(registrar.clock() - timedelta(days=_STAGED_DAYS))
    return await registrar.db.read(lambda conn: ledger.idle(conn, until))


async def give_up(registrar: Context, comparator: Comparator, study: str, site: str) -> None:
    """Settle for a source that is still idle now that it is its turn."""
    if (study, site) in await idle(registrar):
        await settle(registrar, comparator, study, site)


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

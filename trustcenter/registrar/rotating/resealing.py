"""The work of a data key's rotation: every sealed original and string is sealed under the new version."""

from __future__ import annotations

from dataclasses import dataclass

from keys.errors import SealError
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.pseudonyms import sealing
from trustcenter.store import Connection

from .rotation_record import Rotation
from .stored_values import Part


@dataclass(frozen=True)
class Made:
    """New boxes for a part; what was sealed under the new version already is left out of it."""

    part: Part
    boxes: list[bytes]


def make(context: Context, domain: DomainRow, found: Rotation, part: Part) -> Made:
    """New seals of a part. Run it in a thread.

    Raises:
        SealError: a value was changed outside the service.
    """
    plain = sealing.unseal_older(context, domain, found.to_version, part.nonces, part.sealed(), part.aads())
    kept = part.pick([place for place, value in enumerate(plain) if value is not None])
    values = [value for value in plain if value is not None]
    return Made(kept, context.keys.seal(domain.uuid, found.to_version, kept.nonces, values, kept.aads()))


def write(context: Context, conn: Connection, domain: DomainRow, made: Made) -> None:
    """Put new boxes in the place of those that were read, wherever these still stand."""
    part = made.part
    rows = zip(made.boxes, part.serials, part.boxes, strict=True)
    conn.executemany(
        f"UPDATE {part.table} SET sealed = ? WHERE domain = ? AND serial = ? AND sealed = ?",  # noqa: S608 - constants
        [(box, domain.id, serial, before) for box, serial, before in rows],
    )


def check(context: Context, conn: Connection, domain: DomainRow, found: Rotation, part: Part) -> bool:
    """Whether the values of a part open under the new version."""
    try:
        context.keys.unseal(domain.uuid, found.to_version, part.nonces, part.sealed(), part.aads())
    except SealError:
        return False
    return True

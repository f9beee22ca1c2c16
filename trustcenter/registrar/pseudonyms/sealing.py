"""Sealing and unsealing under the data keys of a domain, whichever version a value was sealed under.

New values are sealed under the active version. While a data key is rotated, values of two versions lie side by side;
the seal itself tells which is which, so nothing beside a row has to say it.
"""

from __future__ import annotations

from collections.abc import Sequence

from keys.errors import SealError
from keys.ids import KeyId, Purpose
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.store import Connection


def version(context: Context, conn: Connection, domain: DomainRow) -> int:
    """The version that new values are sealed under.

    Raises:
        ConflictError: none is active.
    """
    return context.ring.active(conn, domain.scope, Purpose.DATA).version


def living(context: Context, domain: DomainRow) -> list[int]:
    """The versions whose material is there, newest first."""
    number, found = 1, []
    while context.keys.known(KeyId(domain.scope, Purpose.DATA, number)):
        if context.keys.has(KeyId(domain.scope, Purpose.DATA, number)):
            found.append(number)
        number += 1
    return found[::-1]


def unseal(
    context: Context, domain: DomainRow, nonces: Sequence[bytes], boxes: Sequence[bytes], aads: Sequence[bytes]
) -> list[bytes]:
    """The values, in order.

    Raises:
        SealError: one was changed outside the service, or its key is destroyed.
    """
    return _unseal(context, domain, living(context, domain), nonces, boxes, aads)


def unseal_older(
    context: Context,
    domain: DomainRow,
    version: int,
    nonces: Sequence[bytes],
    boxes: Sequence[bytes],
    aads: Sequence[bytes],
) -> list[bytes | None]:
    """The values that are sealed under versions before `version`; None for those that are under it already.

    Raises:
        SealError: one was changed outside the service, or its key is destroyed.
    """
    older = [number for number in living(context, domain)[::-1] if number < version]
    for number in older:  # mostly all are of one version
        try:
            return list(context.keys.unseal(domain.uuid, number, nonces, boxes, aads))
        except SealError:
            continue
    answer: list[bytes | None] = []
    for index, (nonce, box, aad) in enumerate(zip(nonces, boxes, aads, strict=True)):
        try:
            context.keys.unseal(domain.uuid, version, [nonce], [box], [aad])
            answer.append(None)
        except SealError:
            answer.append(_one(context, domain, older, nonce, box, aad, index))
    return answer


def _unseal(
    context: Context,
    domain: DomainRow,
    versions: Sequence[int],
    nonces: Sequence[bytes],
    boxes: Sequence[bytes],
    aads: Sequence[bytes],
) -> list[bytes]:
    for number in versions or (1,):  # mostly all are of one version
        try:
            return context.keys.unseal(domain.uuid, number, nonces, boxes, aads)
        except SealError:
            if len(versions) < 2:
                raise
    return [
        _one(context, domain, versions, nonce, box, aad, index)
        for index, (nonce, box, aad) in enumerate(zip(nonces, boxes, aads, strict=True))
    ]


def _one(
    context: Context, domain: DomainRow, versions: Sequence[int], nonce: bytes, box: bytes, aad: bytes, index: int
) -> bytes:
    for number in versions:
        try:
            return context.keys.unseal(domain.uuid, number, [nonce], [box], [aad])[0]
        except SealError:
            continue
    raise SealError("a sealed value was changed, or belongs to something else", where=f"item {index}")

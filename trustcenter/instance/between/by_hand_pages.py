"""What files of the registrar hold part by part, and what the answers to a reconciliation say of its pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from trustcenter.errors import VerificationError
from trustcenter.messages.carried import CarriedMessage, Reconciliation, RoomAnswers, RoomOrders
from trustcenter.messages.reconcile import ReconciledRefs, ReconciledStudy, ReconcileRefs, ReconcileStudy
from trustcenter.registrar.linking import outbox
from trustcenter.store import Connection

from . import reconciling, room_files


def content(conn: Connection, orders: RoomOrders, waiting: Sequence[int], kept: IO[bytes] | None) -> Iterator[bytes]:
    """The parts of a file; those of a reconciliation go into `kept` as well."""
    yield room_files.part(orders)
    if orders.reconcile is not None and kept is not None:
        kept.write(room_files.part(orders.reconcile))
        for name in orders.reconcile.rejoin.studies:
            for page in reconciling.refs_messages(conn, name):
                piece = room_files.part(page)
                kept.write(piece)
                yield piece
    for row_id in waiting:
        kind, payload = outbox.get(conn, row_id)
        yield room_files.part(CarriedMessage(kind=kind, payload=payload))


def found(
    path: Path, answer: RoomAnswers, asked: Reconciliation, questions: room_files.Reader
) -> list[tuple[ReconcileStudy, ReconciledStudy, bytes, int]]:
    """By study, what the comparator says of it, the refs that it misses, packed, and the rows that it dropped."""
    studies, left = [], answer.pages
    if not left:
        path.write_bytes(b"")
    with path.open("rb") as stream:
        answers_ = room_files.reading_parts(stream)
        for message, found in zip(asked.studies, answer.studies, strict=True):
            missing, dropped, more = bytearray(), 0, True
            while more:
                if not left:
                    raise unanswered()
                page, said, left = questions.part(ReconcileRefs), answers_.part(ReconciledRefs), left - 1
                missing += reconciling.missing_of(said.missing, page)
                dropped, more = dropped + said.dropped, page.high is not None
            studies.append((message, found, bytes(missing), dropped))
    return studies


def unanswered() -> VerificationError:
    """The comparator left questions open."""
    return VerificationError("the comparator did not answer all that it was asked", code="foreign_step")

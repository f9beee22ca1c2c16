"""What a comparator says that it delivers, held against what the registrar ordered: a header, before its edges."""

from __future__ import annotations

from typing import Final

import structlog

from linkage import schema as schemas
from trustcenter.audit import Event
from trustcenter.errors import VerificationError
from trustcenter.messages.rooms import EdgesHeader, WindowOrder, WindowState
from trustcenter.registrar.context import Context
from trustcenter.registrar.study import ref_owners, refs, studies
from trustcenter.store import Connection

from . import retiring

# What the order names and the header must repeat, with the field that is named to the operator.
_REPEATED: Final = ("study", "version", "window", "parameters_hash", "previous")
_log = structlog.get_logger()


async def require_ordered(context: Context, order: WindowOrder, window: WindowState) -> EdgesHeader:
    """The header of a delivered window, which must be what was ordered. If it is not, an alarm is raised.

    Raises:
        VerificationError: it is of another study, version, window, parameters or predecessor, or announces more edges
            than the rows that the registrar knows of can have.
    """
    most = await context.db.read(lambda conn: edges_max(conn, order.study))
    try:
        return check(order, window.header, most)
    except VerificationError as error:
        told = {"study": order.study, "window": order.window, "code": error.code, "field": error.where}
        await context.db.write(lambda conn: context.audit(conn, Event.ROOMS_ALARM, "service", "", **told))
        _log.critical("the comparator delivered what was not ordered", code=error.code, field=error.where)
        raise


def check(order: WindowOrder, header: EdgesHeader | None, most: int) -> EdgesHeader:
    """The header, if it is what was ordered.

    Args:
        order: of the window.
        header: that the comparator answered, None if it left it out.
        most: edges that there can be.

    Raises:
        VerificationError: as `require_ordered`; `where` names the field.
    """
    hint = "nothing of it was applied; ask the operator of the comparator, then start the run again"
    if header is None:
        raise VerificationError("the comparator delivered no window", code="foreign_edges", hint=hint, where="header")
    for name in _REPEATED:
        if getattr(header, name) != getattr(order, name):
            raise VerificationError(
                "the comparator delivered another window than was ordered", code="foreign_edges", hint=hint, where=name
            )
    if header.edges > most:
        raise VerificationError(
            "the comparator announces more edges than the study's rows can have",
            code="too_many_edges",
            hint=hint,
            where="edges",
        )
    return header


def edges_max(conn: Connection, study_name: str) -> int:
    """How many edges the rows of a study can have at most.

    In a block a source has at most as many rows as the cap of the pass says, and an edge joins rows of two sources in
    one block: so a row has at most cap edges with each other source. Passes have equally many rows.
    """
    study = studies.find(conn, study_name)
    rows = sum(ref_owners.OWNERS.count(conn, domain) for domain in refs.domains_of(conn, study_name))
    rows += retiring.count(conn, study_name)
    sources = int(conn.execute("SELECT count(*) FROM participant WHERE study = ?", (study_name,)).fetchone()[0])
    caps = sum(schemas.load(study.schema).caps)
    return rows * caps * max(sources - 1, 0) // (2 * study.passes)

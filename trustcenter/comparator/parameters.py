"""What the comparator knows of a study, as it was told by the registrar (M0)."""

from __future__ import annotations

import json

from trustcenter.messages.rooms import Params
from trustcenter.store import Connection

from .sources import find_study


def of_study(conn: Connection, study: str, source: str) -> Params:
    """The parameters of a study that a source takes part in.

    Raises:
        NotFoundError: there is none.
    """
    find_study(conn, study, source)
    name, version, fingerprint, passes, levels, caps, minimum_rows, sources, former, lead = conn.execute(
        "SELECT name, version, fingerprint, passes, levels, caps, minimum_rows, sources, former, lead FROM study"
        " WHERE name = ?",
        (study,),
    ).fetchone()
    return Params(
        study=name,
        version=version,
        fingerprint=fingerprint,
        passes=passes,
        levels=json.loads(levels),
        caps=json.loads(caps),
        minimum_rows=minimum_rows,
        sources=json.loads(sources),
        former=json.loads(former),
        lead=lead,
    )

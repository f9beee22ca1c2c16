"""Tables of counts that sites made of their own records, for a study that decides with them (ADR 0036).

They are pooled with the tables that ship when the weights of a study are estimated for the first time, or estimated
anew because an operator asks for it; from then on the densities are frozen with the other parameters of the decision.
A table that comes later waits for the next estimate.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from linkage import schema as schemas
from linkage.decide.densities import parse
from linkage.decide.parameters import parse_parameters
from linkage.decide.sharing import pooled, require_shareable
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, PolicyError
from trustcenter.messages import api
from trustcenter.registrar.context import Context
from trustcenter.registrar.study import studies, study_states
from trustcenter.store import Connection, Migration

from . import pairs

if TYPE_CHECKING:
    from linkage.decide import Counts

MIGRATIONS: Final = (
    Migration(
        number=650,
        name="calibrations of studies by their sites",
        sql="""
        CREATE TABLE calibration (
            study TEXT NOT NULL REFERENCES study(name),
            site TEXT NOT NULL REFERENCES site(name),
            counts BLOB NOT NULL,         -- trustcenter/densities, JSON, no cell of 1 to 4, no provenance
            sha256 TEXT NOT NULL,
            sent TEXT NOT NULL,
            PRIMARY KEY (study, site)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)


@dataclass(frozen=True)
class _Held:
    site: str
    counts: Counts
    sha256: str
    sent: str


def held(conn: Connection, study: str) -> list[bytes]:
    """The tables of a study's sites, in the order of their names; of removed sites none."""
    query = (
        "SELECT c.counts FROM calibration c JOIN participant p ON p.study = c.study AND p.site = c.site"
        " WHERE c.study = ? AND p.left_with IS NULL ORDER BY c.site"
    )
    return [bytes(row[0]) for row in conn.execute(query, (study,))]


def forget(conn: Connection, study: str) -> None:
    """Forget the tables of a study that links no more."""
    conn.execute("DELETE FROM calibration WHERE study = ?", (study,))


async def send(
    context: Context, caller: Principal, request: str, name: str, body: api.CalibrationSend
) -> api.Calibrations:
    """Take a site's table in place of the one that it sent before. The same one again changes nothing.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
        PolicyError: the study decides with the shipped tables, or takes no data.
        ConflictError: counted with other passes.
        DensitiesError: no table of counts, or one that must not leave a site.
    """
    counts = msgspec.structs.replace(parse(body.counts), provenance={})
    require_shareable(counts)
    data = counts.encode()
    digest = hashlib.sha256(data).hexdigest()

    def effect(conn: Connection) -> api.Calibrations:
        study = studies.find(conn, name, caller)
        studies.require_member(conn, study, caller.name)
        study_states.require(study.state, study_states.Act.DATA)
        if study.settings.calibration != "sites":
            raise PolicyError(
                "this study decides with the tables that ship",
                code="calibration_not_wanted",
                hint="an operator says otherwise with: trustcenter study create --calibration sites",
            )
        schema = schemas.load(study.schema)
        if (counts.profile, counts.passes) != (schema.profile, schema.P):
            raise ConflictError(
                "the table was counted with other passes than the study's",
                code="other_passes",
                hint="count with the study's schema: trustcenter study show names it",
            )
        changed = conn.execute(
            "INSERT INTO calibration VALUES (?,?,?,?,?) ON CONFLICT (study, site) DO UPDATE SET"
            " counts = excluded.counts, sha256 = excluded.sha256, sent = excluded.sent"
            " WHERE calibration.sha256 <> excluded.sha256",
            (name, caller.name, data, digest, stamp(context.clock())),
        ).rowcount
        if changed:
            context.audit(conn, Event.CALIBRATION_SEND, caller.name, request, study=name, sha256=digest)
        return _describe(conn, study, caller)

    return await context.db.write(effect)


async def drop(context: Context, caller: Principal, request: str, name: str, site: str) -> None:
    """Forget the table of a site: a site its own, an operator anybody's.

    Raises:
        NotFoundError: no such study, or no such table.
    """

    def effect(conn: Connection) -> None:
        studies.find(conn, name, caller)
        mine = not caller.is_site or site == caller.name
        gone = mine and conn.execute("DELETE FROM calibration WHERE study = ? AND site = ?", (name, site)).rowcount
        if not gone:
            raise NotFoundError(
                "this site has sent no table to this study",
                code="unknown_calibration",
                hint="trustcenter study calibration show STUDY",
            )
        event = Event.CALIBRATION_DROP if caller.is_site else Event.CALIBRATION_REMOVE
        context.audit(conn, event, caller.name, request, study=name, site=site)

    await context.db.write(effect)


async def show(context: Context, caller: Principal, name: str) -> api.Calibrations:
    """Which tables there are, and with which densities the study decides; a site sees its own table only.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
    """
    return await context.db.read(lambda conn: _describe(conn, studies.find(conn, name, caller), caller))


def _describe(conn: Connection, study: studies.StudyRow, caller: Principal) -> api.Calibrations:
    rows = conn.execute(
        "SELECT site, counts, sha256, sent FROM calibration WHERE study = ? ORDER BY site", (study.name,)
    ).fetchall()
    before = None if caller.is_site else pairs.standing(conn, study.name)
    frozen = None if before is None else parse_parameters(before.parameters).tables().sha256
    return api.Calibrations(
        source=study.settings.calibration,
        tables=[
            _told(_Held(site, parse(bytes(counts)), digest, sent))
            for site, counts, digest, sent in rows
            if not caller.is_site or site == caller.name
        ],
        decided_with=frozen,
        next_estimate=None if caller.is_site else _next(conn, study),
    )


def _next(conn: Connection, study: studies.StudyRow) -> str:
    schema = schemas.load(study.schema)
    tables = [parse(data) for data in held(conn, study.name)] if study.settings.calibration == "sites" else []
    return pooled(schema.profile, schema.P, tables).sha256


def _told(one: _Held) -> api.Calibration:
    pairs_of = one.counts.table()[0].sum(axis=(1, 2)).tolist()
    return api.Calibration(
        site=one.site,
        sha256=one.sha256,
        sent=one.sent,
        matches=pairs_of[0],
        relatives=pairs_of[1],
        strangers=pairs_of[2],
    )

"""Versions of a study: a member was removed or the study secret is no longer trusted, so rows get a new one.

What was frozen with a version is kept. Record numbers, pseudonyms and persons outlive versions; only rows are made
again. Those of an older version stay linkable until the day that was named, and are retired after it; a record that
was not sent again by then has no rows left: it is dormant, keeps its person, and is listed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any, Final

import msgspec

from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, UsageError
from trustcenter.messages import api
from trustcenter.registrar.context import Context
from trustcenter.registrar.linking import sweeping
from trustcenter.store import Connection, Migration

from . import refs, secret_relay, studies, study_checks, study_states
from .studies import StudyRow

MIGRATIONS: Final = (
    Migration(
        number=590,
        name="versions of studies",
        sql="""
        CREATE TABLE study_version (
            study TEXT NOT NULL REFERENCES study(name),
            version INTEGER NOT NULL,
            created TEXT NOT NULL,
            reason TEXT NOT NULL,
            settings TEXT,                -- JSON, as frozen with this version
            linkable_until TEXT,          -- last day on which its rows are compared; null while it is the current one
            ended TEXT,                   -- when its rows were retired
            PRIMARY KEY (study, version)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO study_version (study, version, created, reason, settings)
            SELECT name, version, created, 'created', settings FROM study;
        ALTER TABLE participant ADD COLUMN left_with INTEGER;   -- version with which the site was removed
        ALTER TABLE record_ref ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
        """,
    ),
)


def keep(context: Context, conn: Connection, study: StudyRow, reason: str) -> None:
    """Write down what is frozen with a version, in the transaction that makes it."""
    settings = msgspec.json.encode(study.settings).decode()
    conn.execute(
        "INSERT INTO study_version (study, version, created, reason, settings) VALUES (?,?,?,?,?)",
        (study.name, study.version, stamp(context.clock()), reason, settings),
    )


async def renew(context: Context, caller: Principal, request: str, name: str, body: api.StudyRenew) -> api.Study:
    """Make the next version of a study. Asked again for the version that there is, nothing changes.

    Raises:
        NotFoundError: no such study; a site to remove takes no part.
        ConflictError: another version is next; a linkage run is under way; fewer than two sites would be left.
        PolicyError: the study is in no state for it.
        UsageError: a day or bounds that cannot be.
    """
    wanted = None if body.settings is None else study_checks.settings(body.settings)
    until = None if body.linkable_until is None else _day(body.linkable_until)

    def effect(conn: Connection) -> api.Study:
        study = studies.find(conn, name, caller)
        if body.version == study.version:
            return studies.describe(context, conn, study, caller)
        study_states.require(study.state, study_states.Act.RENEW)
        if body.version != study.version + 1:
            raise ConflictError(
                "this is not the next version of the study",
                code="wrong_version",
                hint=f"the next one is {study.version + 1}",
                where="version",
            )
        study_checks.no_run(conn, name)
        if wanted is not None:
            study_checks.approvers(context, conn, wanted.approvers)
        _remove(conn, study, body.remove)
        settings = wanted or study.settings
        conn.execute(
            "UPDATE study SET version = ?, settings = ? WHERE name = ?",
            (body.version, msgspec.json.encode(settings).decode(), name),
        )
        last = until if until is not None and until >= context.clock().date() else None
        conn.execute(
            "UPDATE study_version SET linkable_until = ? WHERE study = ? AND version = ?",
            ((last or context.clock().date()).isoformat(), name, study.version),
        )
        new = replace(study, version=body.version, settings=settings)
        keep(context, conn, new, body.reason)
        secret_relay.forget_before(conn, name, body.version)
        studies.announce(conn, new)
        retired = 0 if last is not None else _end(context, conn, name, study.version)
        context.audit(
            conn,
            Event.STUDY_RENEW,
            caller.name,
            request,
            study=name,
            version=body.version,
            reason=body.reason,
            removed=sorted(body.remove),
            linkable_until="" if last is None else last.isoformat(),
            retired=retired,
        )
        return studies.describe(context, conn, studies.find(conn, name), caller)

    renewed = await context.db.write(effect)
    await sweeping.carry_out(context)
    return renewed


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError("linkable_until is not a day of the calendar", where="linkable_until") from None


def _remove(conn: Connection, study: StudyRow, sites: list[str]) -> None:
    """Let sites take no further part; what they brought stays linkable as long as the version before."""
    for position, site in enumerate(sites):
        gone = conn.execute(
            "UPDATE participant SET left_with = ? WHERE study = ? AND site = ? AND left_with IS NULL",
            (study.version, study.name, site),
        ).rowcount
        if not gone:
            raise NotFoundError(
                "this site does not take part in the study", code="unknown_participant", where=f"remove {position + 1}"
            )
        conn.execute("DELETE FROM sponsor WHERE study = ? AND site = ?", (study.name, site))
    query = "SELECT count(*) FROM participant WHERE study = ? AND left_with IS NULL"
    if conn.execute(query, (study.name,)).fetchone()[0] < 2:
        raise ConflictError(
            "fewer than two sites would be left", code="too_few_sites", hint="close the study instead", where="remove"
        )
    if study.lead in sites:
        raise ConflictError(
            "the lead site of this study cannot be removed",
            code="lead_removed",
            hint="name another first: trustcenter study lead STUDY SITE",
            where="remove",
        )


def end_due(context: Context, conn: Connection) -> int:
    """End every version whose last day is over; returns how many. In the transaction of the caller."""
    today = context.clock().date().isoformat()
    due = conn.execute(
        "SELECT study, version FROM study_version WHERE ended IS NULL AND linkable_until < ? ORDER BY study, version",
        (today,),
    ).fetchall()
    for study, version in due:
        retired = _end(context, conn, study, version)
        context.audit(conn, Event.STUDY_VERSION_END, "service", "", study=study, version=version, retired=retired)
    return len(due)


async def end_all_due(context: Context) -> int:
    """`end_due` in a transaction of its own: at start, and before a run, which waits until refs are cleaned up."""
    return await context.db.write(lambda conn: end_due(context, conn))


def _end(context: Context, conn: Connection, study: str, version: int) -> int:
    """Have the refs of a version retired (`sweeping`), here and at the comparator; returns how many."""
    sweeping.order(conn, study, version)
    conn.execute(
        "UPDATE study_version SET ended = ? WHERE study = ? AND version = ?", (stamp(context.clock()), study, version)
    )
    return refs.held_until(conn, refs.domains_of(conn, study), version)


async def listing(context: Context, caller: Principal, name: str) -> api.StudyVersions:
    """The versions of a study, and by site how many records have rows of which; a site sees itself only.

    Raises:
        NotFoundError: no such study, or the caller does not take part.
    """

    def query(conn: Connection) -> api.StudyVersions:
        study = studies.find(conn, name, caller)
        rows = conn.execute(
            "SELECT version, created, reason, settings, linkable_until, ended FROM study_version WHERE study = ?"
            " ORDER BY version DESC",
            (name,),
        ).fetchall()
        sites = conn.execute("SELECT site, domain FROM participant WHERE study = ? ORDER BY site", (name,)).fetchall()
        seen = [row for row in sites if not caller.is_site or row[0] == caller.name]
        return api.StudyVersions(
            versions=[_describe(row) for row in rows],
            sources=[_source(conn, site, domain, study.version) for site, domain in seen],
        )

    return await context.db.read(query)


def _describe(row: tuple[Any, ...]) -> api.StudyVersion:
    version, created, reason, settings, until, ended = row
    return api.StudyVersion(
        version=version,
        created=created,
        reason=reason,
        settings=msgspec.json.decode(settings or b"{}", type=api.StudySettings),
        linkable_until=until,
        ended=ended,
    )


def _source(conn: Connection, site: str, domain: int, version: int) -> api.VersionSource:
    newest = (
        "SELECT coalesce((SELECT max(f.version) FROM record_refs f"
        " WHERE f.domain = r.domain AND f.serial = r.serial), 0) AS newest"
        " FROM record r WHERE r.domain = ? AND r.state <> 'unlinked'"
    )
    query = f"SELECT newest, count(*) FROM ({newest}) AS held GROUP BY newest"  # noqa: S608 - constant
    counts = dict(conn.execute(query, (domain,)).fetchall())
    dormant = counts.pop(0, 0)
    current = counts.pop(version, 0)
    waiting = (
        "SELECT count(*) FROM record r WHERE r.domain = ? AND r.state = 'unlinked' AND NOT EXISTS"
        " (SELECT 1 FROM successor s WHERE s.domain = r.domain AND s.serial = r.serial)"
    )
    (unmapped,) = conn.execute(waiting, (domain,)).fetchone()
    older = sum(counts.values())
    return api.VersionSource(site=site, current=current, older=older, dormant=dormant, unmapped=unmapped)

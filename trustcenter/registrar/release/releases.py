"""Release of the join map to a data recipient: proposed by one, signed by two, sealed to the recipient's key.

The join map is the only thing that says which pseudonyms of different sites are one person. It leaves the
registrar only sealed, only after two approvers have signed the statement with their personal keys, and neither of
them may be the person who proposed it.
"""

from __future__ import annotations

import os

from trustcenter.audit import Event
from trustcenter.audit.letter import Sealed
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, PolicyError
from trustcenter.messages import api
from trustcenter.registrar import letters, second_person
from trustcenter.registrar.consents import consent_study
from trustcenter.registrar.context import Context
from trustcenter.registrar.study import studies, study_moves, study_states
from trustcenter.store import Connection

from . import joinmap, release_changes, release_statement
from .release_rows import COLUMNS, ReleaseRow, describe, find
from .release_statement import CONTEXT


def seal_info(study: str, release: str) -> bytes:
    """What a sealed join map is bound to; `recipient open` needs the same study and release."""
    return b"trustcenter/join-map/1\0" + study.encode() + b"\0" + release.encode()


async def propose(
    context: Context, caller: Principal, request: str, study_name: str, body: api.ReleaseCreate
) -> api.Release:
    """Propose to release the latest run's join map. Proposing the same again returns the open proposal.

    Raises:
        NotFoundError: no such study or recipient.
        ConflictError: nothing was linked yet.
    """

    def effect(conn: Connection) -> api.Release:
        study = studies.find(conn, study_name, caller)
        study_states.require(study.state, study_states.Act.RELEASE)
        run, window, parameters = release_statement.latest_run(conn, study_name)
        recipient = conn.execute(
            "SELECT public_key FROM recipient WHERE study = ? AND name = ?", (study_name, body.recipient)
        ).fetchone()
        if recipient is None:
            raise NotFoundError(
                "this study has no data recipient of this name",
                code="unknown_recipient",
                hint="trustcenter study show STUDY lists the recipients",
            )
        open_one = conn.execute(
            f"SELECT {COLUMNS} FROM release WHERE study = ? AND recipient = ? AND run = ?"  # noqa: S608
            " AND (state = 'proposed' OR sealed IS NOT NULL)",  # a withdrawal of consent erases what was sealed
            (study_name, body.recipient, run),
        ).fetchone()
        if open_one is not None:
            return describe(conn, ReleaseRow(*open_one))
        records, persons = release_statement.size(context, conn, study_name)
        release_id = os.urandom(16).hex()
        statement = release_statement.compose(
            context, study, (release_id, body.recipient, recipient[0]), (run, window, parameters), (records, persons)
        )
        row = ReleaseRow(
            release_id,
            study_name,
            body.recipient,
            run,
            statement,
            "proposed",
            records,
            caller.name,
            stamp(context.clock()),
        )
        conn.execute(
            f"INSERT INTO release ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)",  # noqa: S608
            (
                row.id,
                row.study,
                row.recipient,
                row.run,
                statement,
                row.state,
                records,
                row.proposed_by,
                row.created,
            ),
        )
        context.audit(
            conn,
            Event.RELEASE_PROPOSE,
            caller.name,
            request,
            study=study_name,
            release=release_id,
            recipient=body.recipient,
            run=run,
            records=records,
        )
        return describe(conn, row)

    return await context.db.write(effect)


async def approve(
    context: Context, caller: Principal, request: str, study_name: str, release_id: str, body: api.Approval
) -> api.Release:
    """Take an approver's signature; the second one builds and seals the join map.

    Raises:
        NotFoundError: no such release.
        PolicyError: the approver is the person who proposed.
        SignatureError: the signature is not the caller's over this statement.
        ConflictError: a later run has replaced the one that was proposed.
    """

    def look(conn: Connection) -> tuple[ReleaseRow, list[str], api.StudySettings]:
        release = find(conn, study_name, release_id)
        approvals = [row[0] for row in conn.execute("SELECT staff FROM approval WHERE release = ?", (release_id,))]
        study = studies.find(conn, study_name)
        if release.state != "released":
            study_states.require(study.state, study_states.Act.RELEASE)
        second_person.require(
            context.directory,
            conn,
            caller,
            release.proposed_by,
            CONTEXT,
            release.statement,
            body.signature,
            hint="two other people sign: trustcenter study release STUDY --release ID --approve --personal-key FILE",
        )
        return release, approvals, study.settings

    release, approvals, settings = await context.db.read(look)
    if settings.approvers and caller.name not in settings.approvers:
        raise PolicyError(
            "this study names who approves its releases, and you are not among them",
            code="approver_not_named",
            hint="trustcenter study show STUDY lists them",
        )
    completes = release.state == "proposed" and len({*approvals, caller.name}) >= settings.approvals
    built = None
    if completes:
        info = seal_info(study_name, release_id)
        built = await joinmap.build(context, request, study_name, release.recipient, info)

    def effect(conn: Connection) -> api.Release:
        current = find(conn, study_name, release_id)
        if current.state == "released":
            return describe(conn, current)
        study_states.require(studies.find(conn, study_name).state, study_states.Act.RELEASE)
        if release_statement.latest_run(conn, study_name)[0] != current.run:
            raise ConflictError(
                "a later linkage run has replaced the one that was proposed",
                code="release_stale",
                hint="propose the release again",
            )
        new = conn.execute(
            "INSERT INTO approval VALUES (?,?,?,?) ON CONFLICT DO NOTHING",
            (release_id, caller.name, body.signature, stamp(context.clock())),
        ).rowcount
        if new:
            context.audit(
                conn,
                Event.RELEASE_APPROVE,
                caller.name,
                request,
                study=study_name,
                release=release_id,
                signature=body.signature,
            )
        count = conn.execute("SELECT count(*) FROM approval WHERE release = ?", (release_id,)).fetchone()[0]
        if count >= settings.approvals:
            # The other approval, or a withdrawal of consent, may have arrived while this one was on its way.
            if built is None or built.withdrawals != consent_study.withdrawals(conn, study_name):
                raise ConflictError(
                    "another approval, or a withdrawal of consent, arrived at the same moment",
                    code="approval_race",
                    hint="send yours again",
                )
            conn.execute("UPDATE release SET state = 'released', sealed = ? WHERE id = ?", (built.sealed, release_id))
            about = Sealed("join-map", study_name, release_id, built.sha256)
            letters.sign(context, conn, about, current.recipient)
            release_changes.released(conn, study_name, current.recipient, built.held)
            release_changes.after_duplicates(context, conn, study_name)  # declared while the map was built
            context.audit(
                conn,
                Event.RELEASE_COMPLETE,
                "service",
                request,
                study=study_name,
                release=release_id,
                recipient=current.recipient,
                records=len(built.held),
                sha256=built.sha256,
            )
            study = studies.find(conn, study_name)
            if study.state == study_states.StudyState.FROZEN:  # the release of a frozen study is its final one
                study_moves.step(context, conn, "service", request, study, study_states.StudyState.RELEASED)
        return describe(conn, find(conn, study_name, release_id))

    return await context.db.write(effect)


async def sealed_map(context: Context, caller: Principal, request: str, study: str, release_id: str) -> bytes:
    """The sealed join map of a completed release behind its letter; every hand-over is logged.

    One line of JSON, which the registrar signed, then the sealed map (docs/spec/letter.md).

    Raises:
        NotFoundError: no such release.
        PolicyError: fewer than two people have approved.
    """

    def effect(conn: Connection) -> bytes:
        release = find(conn, study, release_id)
        if release.state != "released":
            raise PolicyError(
                "two people must approve before the join map leaves",
                code="not_released",
                hint="approvers sign with: trustcenter study release STUDY --release ID --approve --personal-key FILE",
            )
        sealed: bytes | None = conn.execute("SELECT sealed FROM release WHERE id = ?", (release_id,)).fetchone()[0]
        if sealed is None:
            raise ConflictError(
                "a person in this join map has withdrawn consent since, and the map was erased",
                code="release_withdrawn",
                hint="propose a new release; whoever has fetched this one must replace it",
            )
        context.audit(
            conn,
            Event.RELEASE_EXPORT,
            caller.name,
            request,
            study=study,
            release=release_id,
            recipient=release.recipient,
        )
        letter = letters.find(conn, "join-map", study, release.recipient, release_id)
        return letter.encode() + b"\n" + sealed

    return await context.db.write(effect)

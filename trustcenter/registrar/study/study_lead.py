"""The lead site of a study: the one whose share of the study secret counts. Naming another is an operator's act.

Without it any member could be the first to share a secret of its own for a version, and the others would have to wait
for a new one.
"""

from __future__ import annotations

from keys.shares import Share
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.errors import ConflictError, PolicyError
from trustcenter.messages import api
from trustcenter.registrar.context import Context
from trustcenter.store import Connection

from . import secret_cards, studies, study_states
from .studies import StudyRow


async def name_lead(
    context: Context, caller: Principal, request: str, study_name: str, body: api.StudyLead
) -> api.Study:
    """Name another lead site. The same again is harmless. What the earlier one shared for this version stays.

    Raises:
        NotFoundError: no such study. PolicyError: it is in no state for it.
        ConflictError: the site takes no part, or is a practice.
    """

    def effect(conn: Connection) -> api.Study:
        study = studies.find(conn, study_name, caller)
        study_states.require(study.state, study_states.Act.AGREE)
        if body.site not in secret_cards.members(conn, study_name) or is_practice(conn, study_name, body.site):
            raise ConflictError(
                "this site cannot lead: it takes no part in the study, or is a practice",
                code="cannot_lead",
                hint="trustcenter study show STUDY lists the participants",
                where="site",
            )
        if study.lead != body.site:
            conn.execute("UPDATE study SET lead = ? WHERE name = ?", (body.site, study_name))
            if study.state != study_states.StudyState.DRAFT:
                studies.announce(conn, studies.find(conn, study_name))
            told = {"study": study_name, "lead": body.site, "before": study.lead or ""}
            context.audit(conn, Event.STUDY_LEAD, caller.name, request, **told)
        return studies.describe(context, conn, studies.find(conn, study_name), caller)

    return await context.db.write(effect)


def require_may_share(conn: Connection, study: StudyRow, share: Share) -> None:
    """Refuse a secret of anybody but the lead site. The lead's own may be passed on: to practices, or to who lost it.

    Raises:
        PolicyError: the sender is a practice; or it does not lead, and this is not the secret that the lead shared.
    """
    if is_practice(conn, study.name, share.sender.name):
        raise PolicyError(
            "a practice gets the study secret from its sponsor and shares none",
            code="practice_shares_none",
            hint="trustcenter study secret fetch STUDY --lead SPONSOR",
        )
    if share.sender.name == study.lead:
        return
    key = (study.name, share.version, share.secret)
    if (
        conn.execute("SELECT 1 FROM secret_share WHERE study = ? AND version = ? AND secret = ?", key).fetchone()
        is None
    ):
        raise PolicyError(
            "the lead site makes the study secret of a version; others pass on that one only",
            code="not_the_lead",
            hint="trustcenter study show names the lead site; an operator names another: trustcenter study lead",
        )


def is_practice(conn: Connection, study: str, site: str) -> bool:
    """Whether a site came into a study through a sponsor."""
    query = "SELECT 1 FROM enrolment WHERE study = ? AND site = ? AND used IS NOT NULL"
    return conn.execute(query, (study, site)).fetchone() is not None

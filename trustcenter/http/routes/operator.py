"""Operations of operators: sites, staff, domains, studies, runs and releases; and of approvers."""

from __future__ import annotations

from keys import personal
from trustcenter.audit import Event
from trustcenter.errors import UsageError
from trustcenter.http.calls import APPROVER, AUDITOR, OPERATOR, SITE, Answer, Binary, Call, Route
from trustcenter.messages import api
from trustcenter.registrar.domain_create import create as create_domain
from trustcenter.registrar.release import release_rows, releases
from trustcenter.registrar.study import studies
from trustcenter.registrar.study.study_create import create as create_study
from trustcenter.store import Connection


async def site_create(call: Call) -> Answer:
    context, body = call.instance.gate, call.body

    def effect(conn: Connection) -> api.Site:
        created = context.directory.add_site(conn, body.name, body.kind.value, body.title)
        context.audit(
            conn,
            Event.SITE_CREATE,
            call.principal.name,
            call.request_id,
            site=body.name,
            kind=body.kind.value,
        )
        return api.Site(name=body.name, kind=body.kind, title=body.title, created=created)

    return await context.db.write(effect)


async def site_list(call: Call) -> Answer:
    rows = await call.instance.gate.db.read(call.instance.gate.directory.sites)
    return api.Sites(sites=[api.Site(name=n, kind=api.SiteKind(k), title=t, created=c) for n, k, t, c in rows])


async def staff_add(call: Call) -> Answer:
    context, body = call.instance.gate, call.body
    if body.role is api.StaffRole.APPROVER and body.public_key is None:
        raise UsageError(
            "an approver needs a personal key",
            code="public_key_needed",
            hint="they make it themselves with: trustcenter staff keygen",
            where="public_key",
        )
    if body.public_key is not None:
        personal.check_public(body.public_key)

    def effect(conn: Connection) -> api.StaffAdded:
        context.directory.require_other(conn, call.principal, body.name, body.public_key)
        created = context.directory.add_staff(conn, body.name, body.role.value, body.public_key)
        issued = context.directory.issue_token(conn, staff=body.name)
        context.audit(
            conn,
            Event.STAFF_CREATE,
            call.principal.name,
            call.request_id,
            staff=body.name,
            role=body.role.value,
        )
        return api.StaffAdded(
            staff=api.Staff(name=body.name, role=body.role, public_key=body.public_key, created=created),
            token=api.Token(token_id=issued.token_id, token=issued.token, expires=issued.expires),
        )

    return await context.db.write(effect)


async def staff_list(call: Call) -> Answer:
    rows = await call.instance.gate.db.read(call.instance.gate.directory.staff)
    return api.StaffList(
        staff=[api.Staff(name=n, role=api.StaffRole(r), public_key=k, created=c) for n, r, k, c in rows]
    )


async def domain_create(call: Call) -> Answer:
    return await create_domain(call.instance.registrar, call.principal, call.request_id, call.body)


async def study_create(call: Call) -> Answer:
    study = await create_study(call.instance.registrar, call.principal, call.request_id, call.body)
    await call.linking.deliver()
    return study


async def study_list(call: Call) -> Answer:
    return await studies.list_studies(call.instance.registrar, call.principal)


async def study_show(call: Call) -> Answer:
    return await studies.show(call.instance.registrar, call.principal, call.segment("study"))


async def study_move(call: Call) -> Answer:
    return await call.linking.move_study(call.principal, call.request_id, call.segment("study"), call.body)


async def run_create(call: Call) -> Answer:
    mode = call.query.get("mode", "window")
    return await call.linking.create(call.principal, call.request_id, call.segment("study"), mode)


async def run_plan(call: Call) -> Answer:
    return await call.linking.plan(call.principal, call.segment("study"), call.query.get("mode", "window"))


async def run_list(call: Call) -> Answer:
    return await call.linking.list_runs(call.segment("study"))


async def run_show(call: Call) -> Answer:
    return await call.linking.show(call.segment("study"), call.segment("run"))


async def run_cancel(call: Call) -> Answer:
    return await call.linking.cancel(call.principal, call.segment("study"), call.segment("run"))


async def release_propose(call: Call) -> Answer:
    return await releases.propose(
        call.instance.registrar, call.principal, call.request_id, call.segment("study"), call.body
    )


async def release_list(call: Call) -> Answer:
    return await release_rows.listing(call.instance.registrar, call.segment("study"))


async def release_show(call: Call) -> Answer:
    return await release_rows.show(call.instance.registrar, call.segment("study"), call.segment("release"))


async def release_approve(call: Call) -> Answer:
    release = await releases.approve(
        call.instance.registrar,
        call.principal,
        call.request_id,
        call.segment("study"),
        call.segment("release"),
        call.body,
    )
    await call.linking.deliver()  # a final release may purge
    return release


async def join_map(call: Call) -> Answer:
    return Binary(
        await releases.sealed_map(
            call.instance.registrar,
            call.principal,
            call.request_id,
            call.segment("study"),
            call.segment("release"),
        )
    )


_RELEASE = "/v1/studies/{study}/releases/{release}"
ROUTES = (
    Route("POST", "/v1/sites", "createSite", OPERATOR, "Admit a site", site_create, api.SiteCreate, api.Site, status=201),
    Route("GET", "/v1/sites", "listSites", OPERATOR, "All sites", site_list, None, api.Sites),
    Route("POST", "/v1/staff", "addStaff", OPERATOR, "Add a person", staff_add, api.StaffCreate, api.StaffAdded, status=201),
    Route("GET", "/v1/staff", "listStaff", OPERATOR, "All staff", staff_list, None, api.StaffList),
    Route(
        "POST", "/v1/domains", "createDomain", OPERATOR, "Create a pseudonym domain of a site",
        domain_create, api.DomainCreate, api.Domain, status=201,
    ),
    Route(
        "POST", "/v1/studies", "createStudy", OPERATOR, "Create a study with its domains",
        study_create, api.StudyCreate, api.Study, status=201,
    ),
    Route(
        "GET", "/v1/studies", "listStudies", OPERATOR | AUDITOR | SITE, "The studies that the caller may see",
        study_list, None, api.Studies,
    ),
    Route(
        "GET", "/v1/studies/{study}", "showStudy", OPERATOR | AUDITOR | SITE, "One study", study_show, None, api.Study,
    ),
    Route(
        "POST", "/v1/studies/{study}/state", "moveStudy", OPERATOR, "Open, freeze, close or delete a study",
        study_move, api.StudyMove, api.Study,
    ),
    Route(
        "POST", "/v1/studies/{study}/runs", "startRun", OPERATOR, "Start a linkage run: a window, full or estimate", run_create,
        None, api.Run, status=202, query=("mode",),
    ),
    Route(
        "GET", "/v1/studies/{study}/run-plan", "planRun", OPERATOR, "What a run would compare and take",
        run_plan, None, api.RunPlan, query=("mode",),
    ),
    Route(
        "GET", "/v1/studies/{study}/runs", "listRuns", OPERATOR | AUDITOR, "The runs of a study, newest first",
        run_list, None, api.Runs,
    ),
    Route(
        "GET", "/v1/studies/{study}/runs/{run}", "showRun", OPERATOR | AUDITOR, "How far a run is",
        run_show, None, api.Run,
    ),
    Route("DELETE", "/v1/studies/{study}/runs/{run}", "cancelRun", OPERATOR, "Cancel a run", run_cancel, None, api.Run),
    Route(
        "POST", "/v1/studies/{study}/releases", "proposeRelease", OPERATOR, "Propose to release the join map",
        release_propose, api.ReleaseCreate, api.Release, status=201,
    ),
    Route(
        "GET", "/v1/studies/{study}/releases", "listReleases", OPERATOR | APPROVER, "The releases of a study, newest first",
        release_list, None, api.Releases,
    ),
    Route("GET", _RELEASE, "showRelease", OPERATOR | APPROVER, "A release", release_show, None, api.Release),
    Route(
        "POST", _RELEASE + "/approvals", "approveRelease", APPROVER, "Sign a release with the personal key",
        release_approve, api.Approval, api.Release,
    ),
    Route("GET", _RELEASE + "/join-map", "fetchJoinMap", OPERATOR, "The sealed join map", join_map, None, "bytes"),
)  # fmt: skip

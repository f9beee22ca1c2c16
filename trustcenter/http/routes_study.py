"""Versions of a study."""

from __future__ import annotations

from trustcenter.messages import api
from trustcenter.registrar import study_versions

from .calls import OPERATOR, SITE, Answer, Call, Route


async def renew(call: Call) -> Answer:
    study = await study_versions.renew(
        call.instance.registrar, call.principal, call.request_id, call.segment("study"), call.body
    )
    await call.linking.deliver()
    return study


async def versions(call: Call) -> Answer:
    return await study_versions.listing(call.instance.registrar, call.principal, call.segment("study"))


_VERSIONS = "/v1/studies/{study}/versions"
ROUTES = (
    Route("POST", _VERSIONS, "renewStudy", OPERATOR, "The next version of a study", renew, api.StudyRenew, api.Study),
    Route(
        "GET", _VERSIONS, "listVersions", OPERATOR | SITE, "Versions, and which records have rows of which",
        versions, None, api.StudyVersions,
    ),
)  # fmt: skip

"""Grants: operations on a domain for a site that does not own it. Given and taken by operators, logged."""

from __future__ import annotations

from trustcenter.audit import Event
from trustcenter.auth import Operation, Principal
from trustcenter.auth.scopes import unknown_domain
from trustcenter.clock import stamp
from trustcenter.errors import PolicyError
from trustcenter.messages import api
from trustcenter.store import Connection, Migration

from . import domains
from .context import Context

MIGRATIONS = (
    Migration(
        number=270,
        name="grants on domains",
        sql="""
        CREATE TABLE domain_grant (
            domain INTEGER NOT NULL REFERENCES domain(id),
            site TEXT NOT NULL REFERENCES site(name),
            operation TEXT NOT NULL,
            granted TEXT NOT NULL,
            PRIMARY KEY (domain, site, operation)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX domain_grant_site ON domain_grant (site);
        """,
    ),
)
# Consent is between a person and the owner's house, and studies have participants instead of grants.
GRANTABLE = frozenset(Operation) - {Operation.CONSENT, Operation.STUDY}


async def replace(
    context: Context, caller: Principal, request: str, domain_name: str, body: api.GrantSet
) -> api.Grants:
    """Give a site exactly these operations on a domain; none takes all back.

    Raises:
        NotFoundError: no such domain or site.
        PolicyError: the owner, a domain of a study, or an operation that cannot be granted.
    """

    def effect(conn: Connection) -> api.Grants:
        domain = domains.find(conn, domain_name)
        context.directory.require_sites(conn, [body.site])
        if domain.kind != "site" or domain.site == body.site or not GRANTABLE.issuperset(body.operations):
            raise PolicyError(
                "this cannot be granted",
                code="not_grantable",
                hint="owners hold everything; domains of studies, consent and studies are not granted",
            )
        conn.execute("DELETE FROM domain_grant WHERE domain = ? AND site = ?", (domain.id, body.site))
        now = stamp(context.clock())
        wanted = sorted(set(body.operations))
        conn.executemany(
            "INSERT INTO domain_grant VALUES (?,?,?,?)", [(domain.id, body.site, word.value, now) for word in wanted]
        )
        context.audit(
            conn,
            Event.GRANT_SET,
            caller.name,
            request,
            domain=domain.name,
            site=body.site,
            operations=[word.value for word in wanted],
        )
        return _list(conn, domain.id)

    return await context.db.write(effect)


async def show(context: Context, caller: Principal, domain_name: str) -> api.Grants:
    """Who was granted what on a domain: for operators and its owner.

    Raises:
        NotFoundError: no such domain, or not the caller's own.
    """

    def query(conn: Connection) -> api.Grants:
        domain = domains.find(conn, domain_name, caller)
        if caller.is_site and domain.site != caller.name:
            raise unknown_domain()
        return _list(conn, domain.id)

    return await context.db.read(query)


def _list(conn: Connection, domain: int) -> api.Grants:
    found: dict[str, list[Operation]] = {}
    query = "SELECT site, operation FROM domain_grant WHERE domain = ? ORDER BY site, operation"
    for site, operation in conn.execute(query, (domain,)).fetchall():
        found.setdefault(site, []).append(Operation(operation))
    return api.Grants(grants=[api.GrantSet(site=site, operations=words) for site, words in found.items()])

"""Public keys of sites and recipients, to which maps are sealed."""

from __future__ import annotations

from keys import hybrid
from trustcenter.audit import Event
from trustcenter.auth import Principal
from trustcenter.clock import stamp
from trustcenter.errors import ConflictError, NotFoundError, UsageError
from trustcenter.messages import api
from trustcenter.store import Connection

from .context import Context


async def set_site_key(
    context: Context, caller: Principal, request: str, site: str, body: api.SiteKeySet
) -> api.SiteKey:
    """Register the public key of a site, after its fingerprint was compared over another channel.

    Raises:
        NotFoundError: no such site.
        InvalidPublicKeyError: not a recipient's public key.
        UsageError: the fingerprint that was compared is another.
    """
    fingerprint = hybrid.fingerprint(body.public_key)
    if body.fingerprint != fingerprint:
        raise UsageError(
            "the fingerprint is not that of this key",
            code="wrong_fingerprint",
            hint="the site reads its own aloud: the centre is the key directory, and could be wrong",
        )

    def effect(conn: Connection) -> api.SiteKey:
        context.directory.require_sites(conn, [site])
        now = stamp(context.clock())
        conn.execute(
            "INSERT INTO site_key VALUES (?,?,?,?) ON CONFLICT (site) DO UPDATE SET"
            " public_key = excluded.public_key, set_by = excluded.set_by, created = excluded.created",
            (site, body.public_key, caller.name, now),
        )
        context.audit(conn, Event.SITE_KEY, caller.name, request, site=site, fingerprint=fingerprint)
        return api.SiteKey(site=site, public_key=body.public_key, fingerprint=fingerprint, created=now)

    return await context.db.write(effect)


async def site_key(context: Context, site: str, caller: Principal) -> api.SiteKey:
    """The registered public key of a site, for the site itself and for operators.

    Raises:
        NotFoundError: none is registered, or it is another site's.
    """

    def query(conn: Connection) -> api.SiteKey:
        row = None
        if not caller.is_site or caller.name == site:
            row = conn.execute("SELECT public_key, created FROM site_key WHERE site = ?", (site,)).fetchone()
        if row is None:
            raise NotFoundError("no public key of this site is registered", code="no_public_key")
        return api.SiteKey(site=site, public_key=row[0], fingerprint=hybrid.fingerprint(row[0]), created=row[1])

    return await context.db.read(query)


def public_key(conn: Connection, party: str) -> str:
    """To what a party's maps are sealed.

    Raises:
        ConflictError: nobody has registered a public key of it.
    """
    kind, _, name = party.partition(":")
    if kind == "recipient":
        study, _, recipient = name.partition("/")
        query = "SELECT public_key FROM recipient WHERE study = ? AND name = ?"
        row = conn.execute(query, (study, recipient)).fetchone()
    else:
        row = conn.execute("SELECT public_key FROM site_key WHERE site = ?", (name,)).fetchone()
    if row is None:
        raise ConflictError(
            "this party has no public key to seal to",
            code="no_public_key",
            hint="trustcenter recipient keygen at the site, then trustcenter site set-key at the centre",
        )
    return str(row[0])

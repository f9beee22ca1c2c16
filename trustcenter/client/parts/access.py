"""Calls of operators on access: tokens and certificates of sites and staff, limits of sites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from trustcenter.client.answers import quoted
from trustcenter.client.calls import Calls
from trustcenter.messages import api as m

if TYPE_CHECKING:
    from trustcenter.client.api import TrustCenter

Owner = Literal["site", "staff"]


class Access(Calls):
    """What an operator does about access, over the connection of a `TrustCenter`.

    Example:
        async with TrustCenter(Connection.load(path)) as center:
            await Access(center).revoke_token("site", "uk-nord", token_id)
    """

    def __init__(self, center: TrustCenter) -> None:
        self._http = center._http

    async def create_token(
        self,
        kind: Owner,
        name: str,
        expires_days: int,
        *,
        domains: Sequence[str] | None = None,
        operations: Sequence[m.Operation] | None = None,
    ) -> m.Token:
        """Another token of a site or person, shown once.

        Args:
            kind: of its owner.
            name: of its owner.
            expires_days: its life.
            domains: of a site's token: those that it serves for; None: for all of the site.
            operations: likewise.
        """
        body = m.TokenCreate(
            expires_days=expires_days,
            domains=None if domains is None else list(domains),
            operations=None if operations is None else list(operations),
        )
        return await self._post(_path(kind, name, "tokens"), body, m.Token)

    async def tokens(self, kind: Owner, name: str) -> list[m.TokenInfo]:
        """The tokens of a site or person, without the tokens themselves."""
        return (await self._get(_path(kind, name, "tokens"), m.Tokens)).tokens

    async def revoke_token(self, kind: Owner, name: str, token_id: str) -> None:
        """Make a token worthless."""
        await self._delete(_path(kind, name, "tokens", token_id))

    async def grants(self, domain: str) -> list[m.GrantSet]:
        """Who was granted what on a domain."""
        return (await self._get(_grants(domain), m.Grants)).grants

    async def set_grants(self, domain: str, site: str, operations: Sequence[m.Operation]) -> list[m.GrantSet]:
        """Give a site exactly these operations on a domain that is not its own; none takes all back."""
        body = m.GrantSet(site=site, operations=list(operations))
        return (await self._put(_grants(domain), body, m.Grants)).grants

    async def bind_certificate(self, kind: Owner, name: str, pem: str) -> m.Certificate:
        """Bind a client certificate to a site or person."""
        body = m.CertificateBind(certificate=pem)
        return await self._post(_path(kind, name, "certificates"), body, m.Certificate)

    async def certificates(self, kind: Owner, name: str) -> list[m.Certificate]:
        """The certificates of a site or person."""
        return (await self._get(_path(kind, name, "certificates"), m.Certificates)).certificates

    async def revoke_certificate(self, kind: Owner, name: str, fingerprint: str) -> None:
        """Make a certificate worthless."""
        await self._delete(_path(kind, name, "certificates", fingerprint))

    async def limits(self, site: str) -> m.SiteUsage:
        """The limits that hold for a site, and what it has used today."""
        return await self._get(_path("site", site, "limits"), m.SiteUsage)

    async def set_limits(self, site: str, limits: m.SiteLimits) -> m.SiteUsage:
        """Replace a site's own limits; None leaves one to the configuration."""
        return await self._put(_path("site", site, "limits"), limits, m.SiteUsage)


def _grants(domain: str) -> str:
    return f"/v1/domains/{quoted(domain)}/grants"


def _path(kind: Owner, *segments: str) -> str:
    base = "/v1/sites" if kind == "site" else "/v1/staff"
    return "/".join((base, *(quoted(segment) for segment in segments)))

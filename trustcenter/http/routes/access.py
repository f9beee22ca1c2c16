"""Operations of operators on access: tokens and certificates of sites and staff, limits of sites."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from trustcenter.audit import Event
from trustcenter.auth import Owner, Scope, quotas
from trustcenter.auth.certificates import Bound, bound
from trustcenter.auth.scopes import ALL
from trustcenter.clock import stamp
from trustcenter.errors import NotFoundError, UsageError
from trustcenter.http.calls import OPERATOR, SITE, Answer, Call, Handler, Route
from trustcenter.messages import api
from trustcenter.registrar import grants
from trustcenter.store import Connection

_FINGERPRINT = re.compile("[0-9a-f]{64}")


def _owner(call: Call, kind: Literal["site", "staff"]) -> Owner:
    return Owner(kind, call.segment(kind))


def _certificate(found: Bound) -> api.Certificate:
    return api.Certificate(
        fingerprint=found.fingerprint, created=found.created, expires=found.expires, revoked=found.revoked
    )


def token_create(kind: Literal["site", "staff"]) -> Handler:
    """Handler: a token for a site or person. Operators may renew their own: it grants nothing that they lack."""

    async def handle(call: Call) -> Answer:
        context, owner = call.instance.gate, _owner(call, kind)
        if kind == "staff" and (call.body.domains, call.body.operations) != (None, None):
            raise UsageError("only a site's token can serve for a part", code="scope_of_staff", where="$.operations")

        def effect(conn: Connection) -> api.Token:
            scope = Scope.of(call.body.domains, call.body.operations)
            issued = context.directory.issue_token(
                conn,
                site=owner.name if kind == "site" else None,
                staff=owner.name if kind == "staff" else None,
                days=call.body.expires_days,
                scope=scope,
            )
            limited = {"scope": scope.to_text()} if scope != ALL else {}
            context.audit(
                conn,
                Event.TOKEN_ISSUE,
                call.principal.name,
                call.request_id,
                **{kind: owner.name},
                token=issued.token_id,
                **limited,
            )
            return api.Token(token_id=issued.token_id, token=issued.token, expires=issued.expires)

        return await context.db.write(effect)

    return handle


def token_list(kind: Literal["site", "staff"]) -> Handler:
    """Handler: the tokens of a site or person."""

    async def handle(call: Call) -> Answer:
        context, owner = call.instance.gate, _owner(call, kind)

        def query(conn: Connection) -> list[tuple[str, str, str, str | None, Scope]]:
            context.directory.require(conn, owner)
            return context.directory.tokens(conn, owner)

        return api.Tokens(
            tokens=[
                api.TokenInfo(
                    token_id=token,
                    created=created,
                    expires=expires,
                    revoked=revoked,
                    domains=None if scope.domains is None else sorted(scope.domains),
                    operations=None if scope.operations is None else sorted(scope.operations),
                )
                for token, created, expires, revoked, scope in await context.db.read(query)
            ]
        )

    return handle


def token_revoke(kind: Literal["site", "staff"]) -> Handler:
    """Handler: revoke a token. Once answered, no request gets in with it."""

    async def handle(call: Call) -> Answer:
        context, owner, token = call.instance.gate, _owner(call, kind), call.segment("token_id")

        def effect(conn: Connection) -> None:
            context.directory.revoke_token(conn, owner, token)
            context.audit(
                conn, Event.TOKEN_REVOKE, call.principal.name, call.request_id, **{kind: owner.name}, token=token
            )

        await _revoke(call, effect)
        return None

    return handle


async def _revoke(call: Call, effect: Callable[[Connection], None]) -> None:
    """Carry it out, and forget whatever was remembered of credentials, even if it is not known whether it was."""
    try:
        await call.instance.gate.db.write(effect)
    finally:
        call.instance.gate.directory.cache.clear()


def certificate_bind(kind: Literal["site", "staff"]) -> Handler:
    """Handler: bind a certificate to a site or person."""

    async def handle(call: Call) -> Answer:
        context, owner = call.instance.gate, _owner(call, kind)

        def effect(conn: Connection) -> api.Certificate:
            found = context.directory.bind_certificate(conn, owner, call.body.certificate)
            context.audit(
                conn,
                Event.CERTIFICATE_BIND,
                call.principal.name,
                call.request_id,
                **{kind: owner.name},
                certificate=found.fingerprint,
                expires=found.expires,
            )
            return _certificate(found)

        return await context.db.write(effect)

    return handle


def certificate_list(kind: Literal["site", "staff"]) -> Handler:
    """Handler: the certificates of a site or person."""

    async def handle(call: Call) -> Answer:
        context, owner = call.instance.gate, _owner(call, kind)

        def query(conn: Connection) -> list[Bound]:
            context.directory.require(conn, owner)
            return bound(conn, owner.kind, owner.name)

        return api.Certificates(certificates=[_certificate(found) for found in await context.db.read(query)])

    return handle


def certificate_revoke(kind: Literal["site", "staff"]) -> Handler:
    """Handler: revoke a certificate. Once answered, no request gets in with it."""

    async def handle(call: Call) -> Answer:
        context, owner, digest = call.instance.gate, _owner(call, kind), call.segment("fingerprint")
        if not _FINGERPRINT.fullmatch(digest):
            raise NotFoundError("there is no such certificate here", hint="list them to see their fingerprints")

        def effect(conn: Connection) -> None:
            context.directory.revoke_certificate(conn, owner, digest)
            context.audit(
                conn,
                Event.CERTIFICATE_REVOKE,
                call.principal.name,
                call.request_id,
                **{kind: owner.name},
                certificate=digest,
            )

        await _revoke(call, effect)
        return None

    return handle


def _usage(call: Call, conn: Connection, site: str) -> api.SiteUsage:
    limits, now = call.instance.config.limits, call.instance.registrar.clock()
    own = quotas.limits_of(conn, site)
    return api.SiteUsage(
        requests_per_second=own.requests_per_second or limits.requests_per_second,
        new_per_day=own.new_per_day or limits.new_per_day,
        records_per_day=own.records_per_day or limits.records_per_day,
        own=api.SiteLimits(
            requests_per_second=own.requests_per_second,
            new_per_day=own.new_per_day,
            records_per_day=own.records_per_day,
        ),
        new_today=quotas.used(conn, site, quotas.Kind.PSEUDONYMS, now),
        records_today=quotas.used(conn, site, quotas.Kind.RECORDS, now),
    )


async def limits_show(call: Call) -> Answer:
    context, owner = call.instance.registrar, _owner(call, "site")

    def query(conn: Connection) -> api.SiteUsage:
        context.directory.require(conn, owner)
        return _usage(call, conn, owner.name)

    return await context.db.read(query)


async def limits_set(call: Call) -> Answer:
    context, owner, body = call.instance.registrar, _owner(call, "site"), call.body

    def effect(conn: Connection) -> api.SiteUsage:
        context.directory.require(conn, owner)
        wanted = quotas.SiteLimits(body.requests_per_second, body.new_per_day, body.records_per_day)
        quotas.set_limits(conn, owner.name, wanted, stamp(context.clock()))
        context.audit(
            conn,
            Event.LIMIT_SET,
            call.principal.name,
            call.request_id,
            site=owner.name,
            # A log holds whole numbers; 0 stands for the limit of the configuration.
            requests_per_1000_seconds=round(1000 * (body.requests_per_second or 0)),
            new_per_day=body.new_per_day or 0,
            records_per_day=body.records_per_day or 0,
        )
        return _usage(call, conn, owner.name)

    try:
        return await context.db.write(effect)
    finally:
        context.directory.cache.clear()


def _routes(kind: Literal["site", "staff"], base: str, word: str) -> tuple[Route, ...]:
    path, noun = f"{base}/{{{kind}}}", "a site" if kind == "site" else "a person"
    return (
        Route(
            "POST", f"{path}/tokens", f"issue{word}Token", OPERATOR, f"A token for {noun}, shown once",
            token_create(kind), api.TokenCreate, api.Token, status=201,
        ),
        Route("GET", f"{path}/tokens", f"list{word}Tokens", OPERATOR, f"The tokens of {noun}", token_list(kind), None, api.Tokens),
        Route(
            "DELETE", f"{path}/tokens/{{token_id}}", f"revoke{word}Token", OPERATOR, "Make a token useless at once",
            token_revoke(kind), status=204,
        ),
        Route(
            "POST", f"{path}/certificates", f"bind{word}Certificate", OPERATOR, f"Bind a client certificate to {noun}",
            certificate_bind(kind), api.CertificateBind, api.Certificate, status=201,
        ),
        Route(
            "GET", f"{path}/certificates", f"list{word}Certificates", OPERATOR, f"The certificates of {noun}",
            certificate_list(kind), None, api.Certificates,
        ),
        Route(
            "DELETE", f"{path}/certificates/{{fingerprint}}", f"revoke{word}Certificate", OPERATOR,
            "Make a certificate useless at once", certificate_revoke(kind), status=204,
        ),
    )  # fmt: skip


async def grants_show(call: Call) -> Answer:
    return await grants.show(call.instance.registrar, call.principal, call.segment("domain"))


async def grants_set(call: Call) -> Answer:
    context = call.instance.registrar
    return await grants.replace(context, call.principal, call.request_id, call.segment("domain"), call.body)


ROUTES = (
    Route(
        "GET", "/v1/domains/{domain}/grants", "showGrants", OPERATOR | SITE, "Who was granted what on a domain",
        grants_show, None, api.Grants,
    ),
    Route(
        "PUT", "/v1/domains/{domain}/grants", "setGrants", OPERATOR, "Give a site exactly these operations on a domain",
        grants_set, api.GrantSet, api.Grants,
    ),
    *_routes("site", "/v1/sites", ""),
    *_routes("staff", "/v1/staff", "Staff"),
    Route("GET", "/v1/sites/{site}/limits", "showLimits", OPERATOR, "Limits of a site, and today's use", limits_show, None, api.SiteUsage),
    Route(
        "PUT", "/v1/sites/{site}/limits", "setLimits", OPERATOR, "Give a site limits of its own",
        limits_set, api.SiteLimits, api.SiteUsage,
    ),
)  # fmt: skip

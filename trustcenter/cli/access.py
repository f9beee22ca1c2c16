"""What `site` and `staff` share: tokens and certificates of their members."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from trustcenter.errors import UsageError_

from . import output
from .options import call, connection

Kind = Literal["site", "staff"]
_TOKENS = ("token_id", "created", "expires", "revoked", "domains", "operations")
_PEM_BYTES = 16_384


def token(
    kind: Kind,
    name: str,
    target: Path | None,
    expires_days: int,
    listing: bool,
    revoke: str | None,
    force: bool,
    as_json: bool,
    connect: Path | None,
    only_domains: tuple[str, ...] = (),
    only_operations: tuple[str, ...] = (),
) -> None:
    """Issue, list or revoke tokens of a site or person."""
    from trustcenter.client.access import Access
    from trustcenter.messages.api import Operation

    if (only_domains or only_operations) and (listing or revoke is not None):
        raise UsageError_("--only-domain and --only-operation go with a new token")
    if revoke is not None:
        if listing or target is not None:
            raise UsageError_("--revoke goes alone")
        call(connect, lambda center: Access(center).revoke_token(kind, name, revoke))
        output.note("revoked")
        return
    if listing:
        found = call(connect, lambda center: Access(center).tokens(kind, name))
        output.items(found, _TOKENS, as_json=as_json, empty="no tokens yet")
        return
    if target is not None:
        from trustcenter.client.files import require_writable

        require_writable(target, force=force)  # before the token exists: it is shown once only
    operations = [Operation(word) for word in only_operations]
    made = call(
        connect,
        lambda center: Access(center).create_token(
            kind, name, expires_days, domains=only_domains or None, operations=operations or None
        ),
    )
    if target is not None:
        own = connection(connect)
        owner = {kind: name}
        type(own)(url=own.url, ca=own.ca, token=made.token, **owner).save(target, force=force)
        output.note("wrote the connection file; hand it over by a safe route, then delete your copy")
    elif as_json:
        output.data(made)
    else:
        click.echo(made.token)
        output.note(f"token {made.token_id}, valid until {made.expires}; it is not shown again")


def certificate(
    kind: Kind, name: str, file: Path | None, listing: bool, revoke: str | None, as_json: bool, connect: Path | None
) -> None:
    """Bind, list or revoke certificates of a site or person."""
    from trustcenter.client.access import Access

    if (file is not None) + listing + (revoke is not None) != 1:
        raise UsageError_("give a certificate file, or --list, or --revoke FINGERPRINT")
    columns = ("fingerprint", "created", "expires", "revoked")
    if revoke is not None:
        call(connect, lambda center: Access(center).revoke_certificate(kind, name, revoke))
        output.note("revoked")
    elif listing:
        found = call(connect, lambda center: Access(center).certificates(kind, name))
        output.items(found, columns, as_json=as_json, empty="no certificates yet")
    else:
        assert file is not None
        pem = _read(file)
        made = call(connect, lambda center: Access(center).bind_certificate(kind, name, pem))
        output.item(made, columns, as_json=as_json)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(_PEM_BYTES + 1)
        text = content.decode("ascii")
    except (OSError, ValueError):
        raise UsageError_("the certificate file cannot be read as PEM", code="bad_certificate_file") from None
    if "PRIVATE KEY" in text or len(content) > _PEM_BYTES:
        raise UsageError_(
            "this file holds more than a certificate",
            code="bad_certificate_file",
            hint="give the certificate alone; a private key never leaves its owner",
        )
    return text

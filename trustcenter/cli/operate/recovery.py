"""`trustcenter operator-token` and `renew-certificate`: what is lost or over, on the machine of the instance."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, force_option, json_option
from trustcenter.errors import UsageError

from .options import DIRECTORY, PASSPHRASE, service_passphrase


@click.command("operator-token")
@DIRECTORY
@click.option("--name", default="operator", show_default=True, help="The operator.")
@PASSPHRASE
@click.option("--expires-days", type=click.IntRange(1, 730), default=365, show_default=True, help="Life of the token.")
@click.option("--revoke-others", is_flag=True, help="Make every other token of this operator worthless.")
@click.option("-o", "--output", "target", type=PATH, metavar="FILE", help="Write the operator's connection file.")
@click.option("--ca", type=PATH, metavar="FILE", help="Authority for the connection file; tls/ca.pem if not given.")
@force_option
@json_option
def operator_token(
    directory: Path,
    name: str,
    passphrase_file: Path | None,
    expires_days: int,
    revoke_others: bool,
    target: Path | None,
    ca: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Let an operator in again.

    Gives an operator of the instance in DIR a new token, when the old one expired, was lost or has leaked.

    The service must be stopped. Needs the passphrase of the key stores, and stands in the audit log.

    Example:
      trustcenter operator-token /srv/trustcenter -o operator.toml --revoke-others
    """
    from trustcenter import config
    from trustcenter.client import Connection
    from trustcenter.client.files import require_writable
    from trustcenter.instance import recovery

    os.umask(0o077)
    settings = config.load(directory)
    authority = ""
    if target is not None:
        require_writable(target, force=force)  # before the token exists: it is shown once only
        authority = _authority(settings.path("tls/ca.pem") if ca is None else ca) if settings.server.certificate else ""
    passphrase = service_passphrase(settings, passphrase_file)
    done = asyncio.run(
        recovery.operator_token(settings, passphrase, name, days=expires_days, revoke_others=revoke_others)
    )
    issued = done.issued
    if target is not None:
        url = settings.server.url("localhost" if settings.server.anywhere else "")
        Connection(url=url, ca=authority, token=issued.token, staff=name).save(target, force=force)
        output.note("wrote the connection file")
    elif as_json:
        click.echo(
            json.dumps(
                {
                    "version": 1,
                    "token_id": issued.token_id,
                    "token": issued.token,
                    "expires": issued.expires,
                    "revoked": done.revoked,
                }
            )
        )
    else:
        click.echo(issued.token)
        output.note(f"token {issued.token_id}, valid until {issued.expires}; it is not shown again")
    if done.revoked:
        output.note(f"revoked {done.revoked} other tokens of {name}")


def _authority(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        raise UsageError(
            "the authority for the connection file cannot be read",
            code="no_authority",
            hint="name the PEM file of the authority that signed the server's certificate: --ca FILE",
        ) from None


@click.command("renew-certificate")
@DIRECTORY
@click.option("--name", "names", multiple=True, help="A further name or address for the certificate; repeat.")
@click.option("--new-authority", is_flag=True, help="Make a new authority, too: tls/ca.key is lost, or has leaked.")
@json_option
def renew_certificate(directory: Path, names: tuple[str, ...], new_authority: bool, as_json: bool) -> None:
    """Make a new server certificate, where `init` made the old one.

    Works beside a running service, which takes it up when it is told to: systemctl reload, or kill -HUP. Clients go on
    as they are, unless --new-authority is given. A certificate of the house's own authority is renewed by that one.

    Examples:
      trustcenter renew-certificate /srv/trustcenter
      trustcenter renew-certificate /srv/trustcenter --name tc.example.org
    """
    from trustcenter import config
    from trustcenter.clock import stamp
    from trustcenter.instance import tls

    os.umask(0o077)
    settings = config.load(directory)
    until = stamp(tls.renew(settings, names, new_authority=new_authority))
    if as_json:
        click.echo(json.dumps({"version": 1, "valid_until": until}))
    else:
        output.fields({"certificate": settings.server.certificate, "valid until": until})
    output.hint("next: systemctl reload trustcenter (or kill -HUP PID); a service that stands still: start it")
    if new_authority:
        output.note("every connection file needs the new authority: put the text of tls/ca.pem into its field ca,")
        output.note("or make new files: trustcenter site token, trustcenter operator-token")
    if settings.room != "both":
        output.note(
            "the other room knows this one by its certificate: exchange the cards again (trustcenter rooms card)"
        )

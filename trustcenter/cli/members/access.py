"""What `site` and `staff` share: tokens and certificates of their members."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, F, call, connect_option, connection, force_option, json_option
from trustcenter.errors import CommandLineError, UsageError

if TYPE_CHECKING:
    from trustcenter.messages.api import Token

Kind = Literal["site", "staff"]
_TOKENS = ("token_id", "created", "expires", "revoked", "domains", "operations")
_PEM_BYTES = 16_384


_URL = click.option(
    "--url", metavar="URL", help="Address of the service in the connection file, where it is another than for you."
)


def token_options(noun: str) -> Callable[[F], F]:
    """Arguments and options of `site token` and `staff token`. `noun`: whose tokens they are, for people."""

    def decorate(command: F) -> F:
        for option in (
            connect_option,
            json_option,
            force_option,
            click.option("--revoke", metavar="ID", help="Make a token worthless instead."),
            click.option("--list", "listing", is_flag=True, help=f"List the {noun}'s tokens instead."),
            click.option(
                "--expires-days",
                type=click.IntRange(1, 730),
                default=365,
                show_default=True,
                help="Life of the token.",
            ),
            output_connection(noun),
            click.argument("name"),
        ):
            command = option(command)
        return command

    return decorate


def certificate_options(noun: str) -> Callable[[F], F]:
    """Arguments and options of `site certificate` and `staff certificate`; as `token_options`."""

    def decorate(command: F) -> F:
        for option in (
            connect_option,
            json_option,
            click.option("--revoke", metavar="FINGERPRINT", help="Make a certificate worthless instead."),
            click.option("--list", "listing", is_flag=True, help=f"List the {noun}'s certificates instead."),
            click.argument("file", type=PATH, required=False),
            click.argument("name"),
        ):
            command = option(command)
        return command

    return decorate


def output_connection(noun: str) -> Callable[[F], F]:
    """`-o FILE` for a connection file, and `--url`."""

    def decorate(command: F) -> F:
        return click.option(
            "-o", "--output", "target", type=PATH, metavar="FILE", help=f"Write the {noun}'s connection file."
        )(_URL(command))

    return decorate


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
    url: str | None,
    only_domain: tuple[str, ...] = (),
    only_operation: tuple[str, ...] = (),
) -> None:
    """Issue, list or revoke tokens of a site or person."""
    from trustcenter.client.parts.access import Access
    from trustcenter.messages.api import Operation

    if (only_domain or only_operation) and (listing or revoke is not None):
        raise CommandLineError("--only-domain and --only-operation go with a new token")
    if revoke is not None:
        if listing or target is not None:
            raise CommandLineError("--revoke goes alone")
        call(connect, lambda center: Access(center).revoke_token(kind, name, revoke))
        output.note("revoked")
        return
    if listing:
        found = call(connect, lambda center: Access(center).tokens(kind, name))
        output.items(found, _TOKENS, as_json=as_json, empty="no tokens yet")
        return
    require_target(target, force=force, url=url)
    operations = [Operation(word) for word in only_operation]
    made = call(
        connect,
        lambda center: Access(center).create_token(
            kind, name, expires_days, domains=only_domain or None, operations=operations or None
        ),
    )
    hand_over(kind, name, made, target, url=url, force=force, connect=connect, answer=made if as_json else None)


def require_target(target: Path | None, *, force: bool, url: str | None) -> None:
    """Before a token exists: it is shown once only, so what is to be written must be in order."""
    if url is not None:
        from trustcenter.client import Connection

        if target is None:
            raise CommandLineError("--url goes with -o")
        Connection(url=url, ca="-", site="-", certificate="-", certificate_key="-").check()
    if target is not None:
        from trustcenter.client.files import require_writable

        require_writable(target, force=force)


def hand_over(
    kind: Kind,
    name: str,
    made: Token,
    target: Path | None,
    *,
    url: str | None,
    force: bool,
    connect: Path | None,
    answer: object,
) -> None:
    """Write a fresh token into a connection file, or show it; `answer`: what is printed as JSON, None for people."""
    if target is not None:
        own = connection(connect)
        site, staff = (name, None) if kind == "site" else (None, name)
        given = type(own)(url=url or own.url, ca=own.ca, token=made.token, site=site, staff=staff)
        given.save(target, force=force)
        output.note("wrote the connection file; hand it over by a safe route, then delete your copy")
        if given.on_this_machine:
            output.hint("its address is this machine's own; for somebody elsewhere: --url https://NAME:PORT")
    elif answer is not None:
        output.data(answer)
    else:
        click.echo(made.token)
        output.note(f"token {made.token_id}, valid until {made.expires}; it is not shown again")


def certificate(
    kind: Kind, name: str, file: Path | None, listing: bool, revoke: str | None, as_json: bool, connect: Path | None
) -> None:
    """Bind, list or revoke certificates of a site or person."""
    from trustcenter.client.parts.access import Access

    if (file is not None) + listing + (revoke is not None) != 1:
        raise CommandLineError("give a certificate file, or --list, or --revoke FINGERPRINT")
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
        raise UsageError("the certificate file cannot be read as PEM", code="bad_certificate_file") from None
    if "PRIVATE KEY" in text or len(content) > _PEM_BYTES:
        raise UsageError(
            "this file holds more than a certificate",
            code="bad_certificate_file",
            hint="give the certificate alone; a private key never leaves its owner",
        )
    return text

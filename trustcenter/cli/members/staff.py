"""`trustcenter staff`: people at the trust center and their personal keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trustcenter.cli import output
from trustcenter.cli.options import (
    bare_option,
    call,
    connect_option,
    force_option,
    json_option,
    output_option,
    passphrase_option,
    text_or_file,
)

from . import access

_ROLES = ["operator", "approver", "auditor", "steward"]


@click.group()
def staff() -> None:
    """People at the trust center and their personal keys."""


@staff.command("keygen")
@output_option("Where the personal key goes; it stays with its owner.")
@passphrase_option
@bare_option
def keygen(target: Path, passphrase_file: Path | None, bare: bool) -> None:
    """Make a personal key, with which its owner signs approvals. Works without a service.

    Prints the public half, which the operator needs for `staff add`.

    Example:
      trustcenter staff keygen -o anna.key > anna.pub
    """
    from trustcenter.cli.secret_input import new_personal_key

    key = new_personal_key(target, passphrase_file, bare=bare)
    click.echo(key.public)
    output.note(f"fingerprint {key.fingerprint}: read it to the operator, over the telephone for instance")


@staff.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), required=True, help="What the person may do.")
@click.option("--public-key", metavar="KEY|FILE", help="Public half of the personal key; approvers need one.")
@access.output_connection("person")
@force_option
@json_option
@connect_option
def add(
    name: str,
    role: str,
    public_key: str | None,
    target: Path | None,
    url: str | None,
    force: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Add a person (operator). The token is shown once, or written into a connection file.

    Example:
      trustcenter staff add anna --role approver --public-key anna.pub -o anna.toml
    """
    from trustcenter.messages.api import StaffCreate, StaffRole

    access.require_target(target, force=force, url=url)
    key = text_or_file(public_key, "tc-person-1:") if public_key else None
    person = StaffCreate(name=name, role=StaffRole(role), public_key=key)
    made = call(connect, lambda center: center.add_staff(person))
    access.hand_over(
        "staff", name, made.token, target, url=url, force=force, connect=connect, answer=made if as_json else None
    )


@staff.command("list")
@json_option
@connect_option
def list_(as_json: bool, connect: Path | None) -> None:
    """List the people (operator)."""
    found = call(connect, lambda center: center.staff())
    output.items(found, ("name", "role", "public_key", "created"), as_json=as_json, empty="no staff yet")


@staff.command("token")
@access.token_options("person")
def token(**options: Any) -> None:
    """Give a person another token, shown once, or a whole connection file (operator).

    Examples:
      trustcenter staff token anna -o anna.toml
      trustcenter staff token anna --list
      trustcenter staff token anna --revoke 0f3c5a…
    """
    access.token("staff", **options)


@staff.command("certificate")
@access.certificate_options("person")
def certificate(**options: Any) -> None:
    """Bind a client certificate to a person, who then needs no token (operator).

    Example:
      trustcenter staff certificate anna client.pem
    """
    access.certificate("staff", **options)

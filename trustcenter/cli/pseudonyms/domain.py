"""`trustcenter domain`: namespaces of pseudonyms."""

from __future__ import annotations

from pathlib import Path

import click

from trustcenter.cli import output
from trustcenter.cli.options import OPERATIONS, approval_options, call, confirm, connect_option, json_option
from trustcenter.errors import CommandLineError, UsageError

_COLUMNS = ("name", "kind", "site", "study", "suite", "key_version", "pseudonyms", "state")
# The format is an object: it is in the JSON only.
_SHOWN = (
    "name",
    "uuid",
    "kind",
    "site",
    "study",
    "recipient",
    "suite",
    "multi",
    "deletable",
    "reversible",
    "expiry_days",
    "parent",
    "consent",
    "key_version",
    "pseudonyms",
    "state",
    "closes",
    "created",
)
_CLOSING = ("domain", "days", "proposed_by", "created", "approved_by")
_GRANTS = ("site", "operations")
_CHECKS = ("none", "damm", "verhoeff", "hamming", "reed-solomon")


@click.group()
def domain() -> None:
    """Pseudonym domains."""


@domain.command("create")
@click.argument("name")
@click.option("--site", required=True, metavar="SITE", help="The site that the domain belongs to.")
@click.option("--multi", is_flag=True, help="An original may have several pseudonyms.")
@click.option("--deletable", is_flag=True, help="The site may delete pseudonyms.")
@click.option("--irreversible", is_flag=True, help="Keep no original: nobody can ever go back.")
@click.option("--expiry-days", type=click.IntRange(1, 36_500), metavar="DAYS", help="Pseudonyms expire after so long.")
@click.option("--parent", metavar="DOMAIN", help="Originals are the pseudonyms of this domain of the same site.")
@click.option("--consent", multiple=True, metavar="POLICY", help="Require this MII consent policy; repeat.")
@click.option("--alphabet", metavar="NAME", help="Draw pseudonyms at random and store them: name of their alphabet.")
@click.option("--length", type=click.IntRange(1, 64), metavar="N", help="Drawn characters of a pseudonym.")
@click.option("--prefix", default="", metavar="TEXT", help="What drawn pseudonyms begin with.")
@click.option("--check", type=click.Choice(_CHECKS), default="none", help="Check characters of drawn pseudonyms.")
@json_option
@connect_option
def create(
    name: str,
    site: str,
    multi: bool,
    deletable: bool,
    irreversible: bool,
    expiry_days: int | None,
    parent: str | None,
    consent: tuple[str, ...],
    alphabet: str | None,
    length: int | None,
    prefix: str,
    check: str,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Create a domain of a site (operator).

    What a domain promises is chosen here and never changes. Alphabets: hex, numbers, numbers-without-zero,
    numbers-x, symbol31, symbol32, or the characters themselves.

    Examples:
      trustcenter domain create uk-nord-research --site uk-nord
      trustcenter domain create uk-nord-short --site uk-nord --alphabet symbol32 --length 8 --check reed-solomon
    """
    if (alphabet is None) != (length is None) or (alphabet is None and (prefix or check != "none")):
        raise UsageError(
            "a format of drawn pseudonyms has an alphabet and a length",
            code="format_incomplete",
            hint="give --alphabet and --length, and perhaps --prefix and --check",
        )
    from trustcenter.messages import api

    request = api.DomainCreate(
        name=name,
        site=site,
        suite=api.Suite.COMPUTED if alphabet is None else api.Suite.DRAWN,
        format=None
        if alphabet is None or length is None
        else api.DrawnFormat(prefix=prefix, alphabet=alphabet, length=length, check=check),  # type: ignore[arg-type]
        multi=multi,
        deletable=deletable,
        reversible=not irreversible,
        expiry_days=expiry_days,
        parent=parent,
        consent=list(consent),
    )
    output.item(call(connect, lambda center: center.create_domain(request)), _SHOWN, as_json=as_json)


@domain.command("list")
@json_option
@connect_option
def list_(as_json: bool, connect: Path | None) -> None:
    """List the domains that you may see."""
    found = call(connect, lambda center: center.domains())
    output.items(found, _COLUMNS, as_json=as_json, empty="no domains yet")


@domain.command("show")
@click.argument("name")
@json_option
@connect_option
def show(name: str, as_json: bool, connect: Path | None) -> None:
    """Show one domain."""
    output.item(call(connect, lambda center: center.domain(name)), _SHOWN, as_json=as_json)


@domain.command("grant")
@click.argument("name")
@click.argument("site")
@click.option(
    "--operation",
    multiple=True,
    type=click.Choice(OPERATIONS),
    metavar="OPERATION",
    help="The site may do this; repeat.",
)
@click.option("--none", "nothing", is_flag=True, help="Take everything back from the site.")
@json_option
@connect_option
def grant(name: str, site: str, operation: tuple[str, ...], nothing: bool, as_json: bool, connect: Path | None) -> None:
    """Give a site exactly these operations on a domain that is not its own (operator).

    What it had before and is not named is taken back. Operations: issue, get, translate, validate, remove, reidentify;
    consent and study stay with the owner.

    Examples:
      trustcenter domain grant uk-nord-research uk-sued --operation get --operation validate
      trustcenter domain grant uk-nord-research uk-sued --none
    """
    from trustcenter.client.parts.access import Access
    from trustcenter.messages.api import Operation

    if nothing == bool(operation):
        raise CommandLineError("give --operation, or --none to take everything back")
    wanted = [Operation(word) for word in operation]
    found = call(connect, lambda center: Access(center).set_grants(name, site, wanted))
    output.items(found, _GRANTS, as_json=as_json, empty="nobody else may do anything here")


@domain.command("grants")
@click.argument("name")
@json_option
@connect_option
def grants(name: str, as_json: bool, connect: Path | None) -> None:
    """Show who was granted what on a domain (operator, or the site that owns it)."""
    from trustcenter.client.parts.access import Access

    found = call(connect, lambda center: Access(center).grants(name))
    output.items(found, _GRANTS, as_json=as_json, empty="nobody else may do anything here")


@domain.command("close")
@click.argument("name")
@click.option(
    "--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="Until its keys are destroyed."
)
@click.option("--yes", is_flag=True, help="Do not ask; for automation.")
@json_option
@connect_option
def close(name: str, days: int, yes: bool, as_json: bool, connect: Path | None) -> None:
    """Propose to close a domain (operator). Nothing happens until an approver signs.

    Then it issues no more at once, and its keys are destroyed after the grace period. Until that day pseudonyms are
    translated and looked up as before. Afterwards nobody can, and nothing brings it back but a backup of the key
    store, which has to expire within the grace period too.
    """
    confirm(f"Propose: no more pseudonyms in this domain, and none resolves after {days} days.", name, yes=yes)
    made = call(connect, lambda center: center.propose_closing(name, days))
    output.item(made, _CLOSING, as_json=as_json)
    output.note(f"an approver signs it next: trustcenter domain approve-close {name} --personal-key FILE")


@domain.command("approve-close")
@click.argument("name")
@approval_options
@json_option
@connect_option
def approve_close(
    name: str, key: Path, key_passphrase_file: Path | None, yes: bool, as_json: bool, connect: Path | None
) -> None:
    """Close a domain that an operator proposed to close (approver): no more issue from now on.

    Its keys are destroyed on the day that is shown. What is signed is shown first.
    """
    from trustcenter.cli.secret_input import personal_key
    from trustcenter.cli.signing import signer
    from trustcenter.client.operator import approve_closing

    sign = signer(personal_key(key, key_passphrase_file), "trustcenter/domain-close/1", yes=yes)
    done = call(connect, lambda center: approve_closing(center, name, sign))
    output.item(done, _SHOWN, as_json=as_json)


@domain.command("destroy")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask; for automation.")
@json_option
@connect_option
def destroy(name: str, yes: bool, as_json: bool, connect: Path | None) -> None:
    """Destroy the keys of a closed domain that is due (operator). The service does it by itself when it starts."""
    confirm("Every pseudonym of this domain becomes meaningless for ever.", name, yes=yes)
    output.item(call(connect, lambda center: center.destroy_domain(name)), _SHOWN, as_json=as_json)

"""`trustcenter reopen`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, json_option
from trustcenter.errors import CommandLineError

from .options import DIRECTORY, PASSPHRASE, service_passphrase


@click.command("reopen")
@DIRECTORY
@click.option("--propose", is_flag=True, help="Write and print the statement that two approvers have to sign.")
@click.option(
    "--epoch", type=click.IntRange(1, 4095), help="With --propose: the new epoch; needed if the head is lost."
)
@click.option("--sign", "name", metavar="NAME", help="Sign as this approver; the second signature reopens.")
@click.option(
    "--personal-key", "--key", "key", type=PATH, metavar="FILE", help="With --sign: the approver's personal key."
)
@click.option("--key-passphrase-file", type=PATH, metavar="FILE", help="File with the passphrase of that key.")
@click.option("--yes", is_flag=True, help="With --sign: do not ask after showing the statement.")
@PASSPHRASE
@json_option
def reopen(
    directory: Path,
    propose: bool,
    epoch: int | None,
    name: str | None,
    key: Path | None,
    key_passphrase_file: Path | None,
    yes: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Let an older database serve again; two people sign.

    DIR is a stopped instance whose database is older than its head. The two are approvers on file.

    Only when the newest database is really lost. What was issued after the lost moment resolves to nothing for ever:
    the sites send those originals again. Serials go on under a new epoch, and the log under a new fingerprint.

    Examples:
      trustcenter reopen /srv/trustcenter --propose
      trustcenter reopen /srv/trustcenter --sign anna --personal-key anna.key
      trustcenter reopen /srv/trustcenter --sign bernd --personal-key bernd.key
    """
    from trustcenter import config
    from trustcenter.instance.backups import reopen as work

    os.umask(0o077)
    if propose == (name is not None) or (name is None) != (key is None) or (epoch is not None and not propose):
        raise CommandLineError("give either --propose, or --sign NAME with --personal-key FILE")
    settings = config.load(directory)
    if propose:
        made = work.propose(settings, service_passphrase(settings, passphrase_file), epoch)
        if as_json:
            output.data({"epoch": made.epoch, "statement": made.statement})
        else:
            click.echo(made.statement, nl=False)
        output.hint("two approvers sign next: trustcenter reopen DIR --sign NAME --personal-key FILE")
        return
    assert name is not None
    assert key is not None
    statement = work.load(settings).statement
    from trustcenter.cli.secret_input import personal_key
    from trustcenter.cli.signing import show

    show(statement, yes=yes)
    own = personal_key(key, key_passphrase_file)
    done = work.sign(settings, service_passphrase(settings, passphrase_file), name, own, statement)
    if isinstance(done, work.Proposal):
        if as_json:
            output.data({"epoch": done.epoch, "signed": sorted(done.signatures), "reopened": False})
        output.note("signed; another approver signs next")
        return
    if as_json:
        output.data({"epoch": done.epoch, "reopened": True, "fingerprint": done.fingerprint})
    else:
        output.fields({"epoch": done.epoch, "registrar": done.fingerprint})
    output.note("Write the registrar's new fingerprint down on paper: its log goes on under a new identity.")
    output.note("Tokens revoked and keys rotated after the lost moment are as they were before it: check them.")

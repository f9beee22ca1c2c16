"""`trustcenter recipient`: for data recipients. Works without a service."""

from __future__ import annotations

from pathlib import Path

import click

from linkage.wording import counted

from . import output
from .options import PATH, bare_option, force_option, json_option, output_option, passphrase_option

_log_key_option = click.option(
    "--log-key",
    "log_keys",
    required=True,
    multiple=True,
    metavar="TEXT",
    help="Fingerprint of the registrar's log, as you compared it; repeat after the log was reopened.",
)


@click.group()
def recipient() -> None:
    """For data recipients: keys and sealed join maps."""


@recipient.command("keygen")
@output_option("Where the key goes; it stays with the recipient.")
@passphrase_option
@bare_option
def keygen(target: Path, passphrase_file: Path | None, bare: bool) -> None:
    """Make a recipient's key. Prints the public half, which the operator needs for `study create`.

    Example:
      trustcenter recipient keygen -o registry.key > registry.pub
    """
    from .secret_input import new_recipient_key

    key = new_recipient_key(target, passphrase_file, bare=bare)
    click.echo(key.public)
    output.note(f"fingerprint {key.fingerprint}: read it to the operator, over the telephone for instance")


@recipient.command("open")
@click.argument("sealed", metavar="FILE", type=PATH)
@click.option("--key", "key_file", type=PATH, required=True, metavar="FILE", help="The recipient's key.")
@click.option("--study", required=True, metavar="STUDY", help="Study that the map belongs to.")
@click.option("--release", "release_id", required=True, metavar="ID", help="Release that the map belongs to.")
@_log_key_option
@output_option("Where the join map (CSV) goes.")
@passphrase_option
@force_option
@json_option
def open_(
    sealed: Path,
    key_file: Path,
    study: str,
    release_id: str,
    log_keys: tuple[str, ...],
    target: Path,
    passphrase_file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    r"""Open a sealed join map, if the registrar signed it for this study and release.

    Anybody who knows your public key can seal a file to it. The fingerprint of the registrar's log was printed when the
    instance was made; compare it once with the operator or the auditor, over the telephone for instance.

    Example:
      trustcenter recipient open joinmap.sealed --key registry.key --study sepsis --release 0f3c5a… \
        --log-key 3f0a-…-91c2 -o joinmap.csv
    """
    from trustcenter.client.files import require_writable
    from trustcenter.client.study.joinmap import open_join_map

    from .secret_input import recipient_key

    require_writable(target, sources=(sealed, key_file), force=force)
    key = recipient_key(key_file, passphrase_file)
    lines = open_join_map(sealed, key, study, release_id, target, log_keys=log_keys, force=force)
    if as_json:
        output.data({"study": study, "release": release_id, "records": lines})
    output.note(counted(lines, "record"))


@recipient.command("changes")
@click.argument("source", metavar="FILE", type=PATH)
@click.option("--key", "key_file", type=PATH, required=True, metavar="FILE", help="The recipient's key.")
@click.option("--study", required=True, metavar="STUDY", help="Study that the changes belong to.")
@click.option("--map", "join_map", type=PATH, metavar="FILE", help="The opened join map, to be brought up to date.")
@click.option("--new-map", type=PATH, metavar="FILE", help="With --map: where the map goes as it is now.")
@click.option("--codes", type=PATH, metavar="FILE", help="Where the codes go that say you acted on withdrawals.")
@_log_key_option
@output_option("Where the changes (CSV) go, in the order in which they happened.")
@passphrase_option
@force_option
@json_option
def changes(
    source: Path,
    key_file: Path,
    study: str,
    join_map: Path | None,
    new_map: Path | None,
    codes: Path | None,
    log_keys: tuple[str, ...],
    target: Path,
    passphrase_file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    r"""Open changes to a join map: persons joined, records moved to another person, records withdrawn.

    Refused if the registrar did not sign them: `recipient open --help` says how.

    Delete the data of withdrawn records first, then send the codes to the operator: they are your word for it.

    Example:
      trustcenter recipient changes changes.sealed --key registry.key --study sepsis --log-key 3f0a-…-91c2 \
        --map joinmap.csv --new-map joinmap-2.csv --codes codes.csv -o changes.csv
    """
    from trustcenter.client.files import require_writable
    from trustcenter.client.jobs.csvstream import write_csv
    from trustcenter.client.study import changes as work
    from trustcenter.errors import CommandLineError

    from .secret_input import recipient_key

    if (join_map is None) != (new_map is None):
        raise CommandLineError("--map goes with --new-map")
    sources = (source, key_file, *([join_map] if join_map is not None else []))
    for place in (target, new_map, codes):
        if place is not None:
            require_writable(place, sources=sources, force=force)
    opened = work.open_changes(source, recipient_key(key_file, passphrase_file), study, log_keys)
    if join_map is not None and new_map is not None:
        write_csv(new_map, work.MAP_COLUMNS, work.apply(work.read_map(join_map), opened.changes), force=force)
    columns = ("kind", "site", "study_pseudonym", "person", "into")
    lines = [(c.kind, c.site, c.pseudonym, c.person, c.into) for c in opened.changes]
    write_csv(target, columns, lines, force=force)
    if codes is not None:
        write_csv(codes, ("number", "code"), opened.codes, force=force)
    if as_json:
        output.data({"study": study, "changes": len(lines), "last": opened.last, "codes": len(opened.codes)})
    output.note(f"{len(lines)} changes, up to batch {opened.last}")
    if opened.codes:
        output.hint("delete the data of withdrawn records, then give the codes to the operator")

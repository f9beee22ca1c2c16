"""`trustcenter linkage site-key`: a copy of the site key for the case that the machine is lost."""

from __future__ import annotations

from pathlib import Path

import click

from trustcenter.cli import output
from trustcenter.cli.options import (
    PATH,
    confirm,
    force_option,
    json_option,
    output_option,
    passphrase_option,
    text_or_file,
)
from trustcenter.errors import UsageError


@click.group("site-key")
def site_key() -> None:
    """A copy of the site key, sealed to a recovery key that lies in a safe.

    Record numbers come from the site key: without it the same patients would be registered anew. Everything else a site
    can get again.
    """


@site_key.command("seal")
@click.argument("key_file", metavar="FILE", type=PATH)
@click.option("--site", required=True, metavar="NAME", help="Name of the site; needed again to recover.")
@click.option("--to", "recovery", required=True, metavar="KEY|FILE", help="Public half of the recovery key.")
@output_option("The sealed copy. It is no secret: keep it with the backups.")
@force_option
@json_option
def seal(key_file: Path, site: str, recovery: str, target: Path, force: bool, as_json: bool) -> None:
    """Seal a copy of the site key FILE to a recovery key.

    Make the recovery key with `trustcenter recipient keygen` on another machine, and keep its private half and
    passphrase offline. Note the fingerprint of the site key that is shown, with the recovery key and not with the copy:
    whoever can exchange the copy could put in a key of his own.

    Example:
      trustcenter linkage site-key seal site.key --site uk-nord --to recovery.pub -o site.key.sealed
    """
    from keys.secretfiles import SiteKey
    from trustcenter.client.files import require_writable
    from trustcenter.client.study.site_key_backup import seal_site_key

    require_writable(target, sources=(key_file,), force=force)
    public = text_or_file(recovery, "tc-recipient-1:")
    key = SiteKey.load(key_file)
    fingerprint = seal_site_key(key, site, public, target, force=force)
    shown = {"site": site, "site_key": key.fingerprint(site), "recovery_key": fingerprint}
    if as_json:
        output.data(shown)
        return
    output.fields({"fingerprint of the site key": shown["site_key"], "sealed to the recovery key": fingerprint})
    output.hint("note the first with the recovery key, not with the copy: it is asked for when you recover")


@site_key.command("recover")
@click.argument("sealed", metavar="FILE", type=PATH)
@click.option("--site", required=True, metavar="NAME", help="Name of the site, as when it was sealed.")
@click.option("--key", "recovery", type=PATH, required=True, metavar="FILE", help="The recovery key.")
@click.option("--fingerprint", metavar="TEXT", help="Of the site key, as `seal` showed it. Without it you are asked.")
@output_option("Where the site key goes, mode 0600.")
@passphrase_option
def recover(
    sealed: Path, site: str, recovery: Path, fingerprint: str | None, target: Path, passphrase_file: Path | None
) -> None:
    r"""Open the sealed copy FILE with the recovery key, if the site key in it is the one that was noted.

    Example:
      trustcenter linkage site-key recover site.key.sealed --site uk-nord --key recovery.key \
        --fingerprint 4J2J-LU58-RLV8-7JVN-YHRA -o site.key
    """
    from trustcenter.cli.secret_input import recipient_key
    from trustcenter.client.files import require_writable
    from trustcenter.client.study.site_key_backup import open_site_key, require_fingerprint

    require_writable(target, sources=(sealed, recovery))
    if fingerprint is None and not output.interactive():
        raise UsageError(
            "a recovered site key is compared with the fingerprint that was noted when it was sealed",
            code="fingerprint_needed",
            hint="--fingerprint TEXT",
        )
    key = open_site_key(sealed, site, recipient_key(recovery, passphrase_file))
    if fingerprint is None:
        question = f"The copy holds the site key {key.fingerprint(site)}. Is that what was noted when it was sealed?"
        confirm(question, site, yes=False)
    else:
        require_fingerprint(key, site, fingerprint)
    key.save(target)
    output.note("recovered the site key")

"""`trustcenter linkage site-key`: a copy of the site key for the case that the machine is lost."""

from __future__ import annotations

from pathlib import Path

import click

from . import output
from .options import PATH, force_option, output_option, passphrase_option, text_or_file


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
def seal(key_file: Path, site: str, recovery: str, target: Path, force: bool) -> None:
    """Seal a copy of the site key FILE to a recovery key.

    Make the recovery key with `trustcenter recipient keygen` on another machine, and keep its private half and
    passphrase offline.

    Example:
      trustcenter linkage site-key seal site.key --site uk-nord --to recovery.pub -o site.key.sealed
    """
    from keys.secretfiles import SiteKey
    from trustcenter.client.files import require_writable
    from trustcenter.client.site_key_backup import seal_site_key

    require_writable(target, sources=(key_file,), force=force)
    public = text_or_file(recovery, "tc-recipient-1:")
    fingerprint = seal_site_key(SiteKey.load(key_file), site, public, target, force=force)
    output.note(f"sealed to the recovery key {fingerprint}")


@site_key.command("recover")
@click.argument("sealed", metavar="FILE", type=PATH)
@click.option("--site", required=True, metavar="NAME", help="Name of the site, as when it was sealed.")
@click.option("--key", "recovery", type=PATH, required=True, metavar="FILE", help="The recovery key.")
@output_option("Where the site key goes, mode 0600.")
@passphrase_option
def recover(sealed: Path, site: str, recovery: Path, target: Path, passphrase_file: Path | None) -> None:
    """Open the sealed copy FILE with the recovery key.

    Example:
      trustcenter linkage site-key recover site.key.sealed --site uk-nord --key recovery.key -o site.key
    """
    from trustcenter.client.files import require_writable
    from trustcenter.client.site_key_backup import open_site_key

    from .secret_input import recipient_key

    require_writable(target, sources=(sealed, recovery))
    open_site_key(sealed, site, recipient_key(recovery, passphrase_file)).save(target)
    output.note("recovered the site key")

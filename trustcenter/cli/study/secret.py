"""`trustcenter study secret`: agree on the study secret through the centre, without the centre learning it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, call, connect_option, json_option, key_options, output_option

if TYPE_CHECKING:
    from keys.secretfiles import StudySecret
    from trustcenter.client import TrustCenter


@click.group()
def secret() -> None:
    """Agree on the study secret through the centre, without the centre learning it (site).

    Each site has one key file of its own (`recipient keygen`). It publishes a card of it, and the sites compare the
    fingerprints of their cards over the telephone. Then the lead site shares the study secret, sealed to each and
    signed. What was compared and opened is kept beside the key file, in FILE.pins.
    """


@secret.command("card")
@click.argument("study")
@key_options
@json_option
@connect_option
def card(study: str, key_file: Path, passphrase_file: Path | None, as_json: bool, connect: Path | None) -> None:
    """Publish the card of this site in a study, and show its fingerprint.

    Say the fingerprint to the lead site over the telephone; the lead site says its own.

    Example:
      trustcenter study secret card sepsis --key uk-nord.key
    """
    from trustcenter.cli.secret_input import recipient_key
    from trustcenter.client.study import secret_relay as work

    key = recipient_key(key_file, passphrase_file)
    made = call(connect, lambda center: work.publish(center, study, key))
    shown = {"site": made.name, "fingerprint": made.fingerprint}
    output.data(shown) if as_json else output.fields(shown)


@secret.command("pin")
@click.argument("study")
@click.argument("site")
@click.option("--fingerprint", required=True, metavar="TEXT", help="Of its card, as the site said it.")
@click.option("--replace", is_flag=True, help="In place of another card: the site said that it made a new key.")
@click.option("--key", "key_file", type=PATH, required=True, metavar="FILE", help="The own key; FILE.pins remembers.")
@connect_option
def pin(study: str, site: str, fingerprint: str, replace: bool, key_file: Path, connect: Path | None) -> None:
    """Remember the card of SITE after its fingerprint was compared over the telephone.

    The centre hands out the cards, and could hand out others. From now on any exchange is found.

    Example:
      trustcenter study secret pin sepsis uk-sued --fingerprint 4J2J-LU58-RLV8-7JVN-YHRA --key uk-nord.key
    """
    from trustcenter.cli.secret_input import require_file
    from trustcenter.client.study import secret_relay as work
    from trustcenter.client.study.secret_pins import Pins, beside

    require_file(key_file)
    pins = Pins.load(beside(key_file))
    call(connect, lambda center: work.pin(center, study, site, fingerprint, pins, replace=replace))
    output.note("compared")


@secret.command("share")
@click.argument("study")
@click.option("--study-secret", type=PATH, required=True, metavar="FILE", help="The secret; made if there is none.")
@click.option("--pinned-only", is_flag=True, help="Leave out members whose cards were not compared yet.")
@key_options
@json_option
@connect_option
def share(
    study: str,
    study_secret: Path,
    pinned_only: bool,
    key_file: Path,
    passphrase_file: Path | None,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Seal the study secret to every member of the study, and sign (lead site).

    Every member's card must have been compared (`study secret pin`). Given again, it reaches members that came later or
    have a new card. A new version of the study (`study renew`: a member was removed, or the secret got out) needs a new
    secret: name a new file.

    Example:
      trustcenter study secret share sepsis --study-secret study.secret --key uk-nord.key
    """
    from keys.secretfiles import StudySecret
    from trustcenter.cli.secret_input import recipient_key
    from trustcenter.client.study import secret_relay as work
    from trustcenter.client.study.secret_pins import Pins, beside

    key = recipient_key(key_file, passphrase_file)
    pins = Pins.load(beside(key_file))

    async def job(center: TrustCenter) -> work.Shared:
        if study_secret.exists():
            shared = StudySecret.load(study_secret)
        else:
            shared = await work.fresh(center, study, pins)
            shared.save(study_secret)
        return await work.share(center, study, key, shared, pins, pinned_only=pinned_only)

    done = call(connect, job)
    if as_json:
        output.data(done)
    else:
        output.fields(
            {
                "fingerprint": done.state.secret,
                "issue": done.state.issue,
                "sealed to": done.state.members,
                "not yet": done.waiting,
            }
        )
    output.hint("every member fetches it: trustcenter study secret fetch; `study secret status` says who holds it")


@secret.command("fetch")
@click.argument("study")
@click.option("--lead", required=True, metavar="SITE", help="Whose share; its card must have been compared.")
@output_option("Where the study secret goes, mode 0600.")
@key_options
@json_option
@connect_option
def fetch(
    study: str,
    lead: str,
    target: Path,
    key_file: Path,
    passphrase_file: Path | None,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Open the study secret that the lead site sealed to this site, and confirm that this site holds it.

    Refused, and nothing kept, if signature, card, study, version, schema or secret are not those of the lead site.

    Example:
      trustcenter study secret fetch sepsis --lead uk-nord --key uk-sued.key -o study.secret
    """
    from keys.secretfiles import StudySecret
    from trustcenter.cli.secret_input import recipient_key
    from trustcenter.client.files import require_writable
    from trustcenter.client.study import secret_relay as work
    from trustcenter.client.study.secret_pins import Pins, beside

    key = recipient_key(key_file, passphrase_file)
    pins = Pins.load(beside(key_file))
    if not target.exists():
        require_writable(target)

    def keep(opened: StudySecret) -> None:
        # The same file again: an earlier call was interrupted before it confirmed.
        if not (target.exists() and StudySecret.load(target).material == opened.material):
            opened.save(target)

    got = call(connect, lambda center: work.fetch(center, study, key, pins, keep, sender=lead))
    shown = {"study": got.study, "version": got.version, "fingerprint": got.fingerprint}
    output.data(shown) if as_json else output.fields(shown)


@secret.command("status")
@click.argument("study")
@click.option("--study-secret", type=PATH, metavar="FILE", help="The secret: tests what the members confirmed.")
@click.option("--key", "key_file", type=PATH, metavar="FILE", help="The own key; FILE.pins has the compared cards.")
@json_option
@connect_option
def status(study: str, study_secret: Path | None, key_file: Path | None, as_json: bool, connect: Path | None) -> None:
    """Show whose card was compared, to whom the secret was sealed, and who holds it (site, operator).

    `holds`: yes or another (tested against --study-secret), said (not tested without it), no.

    Example:
      trustcenter study secret status sepsis --study-secret study.secret --key uk-nord.key
    """
    from keys.secretfiles import StudySecret
    from trustcenter.cli.secret_input import require_file
    from trustcenter.client.study import secret_status as work
    from trustcenter.client.study.secret_pins import Pins, beside

    held = None if study_secret is None else StudySecret.load(study_secret)
    if key_file is not None:
        require_file(key_file)
    pins = Pins(Path()) if key_file is None else Pins.load(beside(key_file))
    found = call(connect, lambda center: work.status(center, study, pins, held))
    if as_json:
        output.data(found)
        return
    output.fields({"study": found.study, "version": found.version, "fingerprint": found.fingerprints})
    click.echo()
    output.table(
        ([m.site, m.card, m.compared, ", ".join(m.sealed_by) or None, m.holds] for m in found.members),
        ("member", "card", "compared", "sealed by", "holds"),
    )
    if not found.fingerprints:
        output.hint("nobody has shared a secret for this version: trustcenter study secret share (lead site)")
    if found.former:
        output.hint("sites that left hold this secret: an operator makes a new version, trustcenter study renew")

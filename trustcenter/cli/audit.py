"""`trustcenter audit`: export, and verification without a service."""

from __future__ import annotations

from pathlib import Path

import click

from . import output
from .options import PATH, call, connect_option, force_option, json_option, output_option

_ROOM = click.Choice(["registrar", "comparator"])


@click.group()
def audit() -> None:
    """Export the audit log, and verify it offline."""


@audit.command("export")
@click.argument("room", type=_ROOM)
@output_option("Where the bundle goes.")
@force_option
@json_option
@connect_option
def export(room: str, target: Path, force: bool, as_json: bool, connect: Path | None) -> None:
    """Export the log of a room as a bundle (auditor).

    Example:
      trustcenter audit export registrar -o registrar.bundle --connect auditor.toml
    """
    from trustcenter.client.operator import export_log

    lines = call(connect, lambda center: export_log(center, room, target, force=force))
    if as_json:
        output.data({"room": room, "lines": lines})
    output.note(f"{lines} lines; check them with: trustcenter audit verify")


@audit.command("checkpoint")
@click.argument("room", type=_ROOM)
@json_option
@connect_option
def checkpoint(room: str, as_json: bool, connect: Path | None) -> None:
    """Print the signed head of a room's log. Keep it: later logs must extend it.

    Example:
      trustcenter audit checkpoint registrar > registrar-2026-11.checkpoint
    """
    text = call(connect, lambda center: center.audit_checkpoint(room))
    if as_json:
        output.data({"room": room, "checkpoint": text})
    else:
        click.echo("\n".join(output.plain(line) for line in text.split("\n")), nl=False)


@audit.command("verify")
@click.argument("bundles", metavar="BUNDLE...", type=PATH, nargs=-1, required=True)
@click.option(
    "--key",
    "fingerprints",
    multiple=True,
    metavar="FINGERPRINT",
    help="Fingerprint of the log's key, from your own records.",
)
@click.option(
    "--checkpoint", "checkpoints", multiple=True, type=PATH, metavar="FILE", help="An older checkpoint; repeat."
)
@json_option
def verify(
    bundles: tuple[Path, ...], fingerprints: tuple[str, ...], checkpoints: tuple[Path, ...], as_json: bool
) -> None:
    """Verify exported logs: every entry, the signed head, and that old checkpoints were only extended.

    Needs neither the service nor a secret. Exit code 3 and the first broken entry if something is wrong. Without
    --key the bundle is only as good as the key inside it.

    Example:
      trustcenter audit verify registrar.bundle --key 3f1c-… --checkpoint registrar-2026-11.checkpoint
    """
    from trustcenter.client.bundles import verify_files

    reports = verify_files(bundles, fingerprints, checkpoints)
    if as_json:
        output.data([report for _, report in reports])
    else:
        for path, report in reports:
            output.fields(
                {
                    "bundle": path.name,
                    "origin": report.origin,
                    "entries": report.size,
                    "from": report.first_time,
                    "to": report.last_time,
                    "root": report.root,
                    "key": report.fingerprint,
                    "key compared": "yes" if report.fingerprint_checked else "no",
                    "checkpoints extended": report.checkpoints,
                    "verdict": "intact",
                }
            )
    if not fingerprints:
        output.hint("give --key FINGERPRINT: without it anybody could have made this log")

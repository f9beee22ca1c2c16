"""Commands on the machine of the instance: init, serve, doctor and demo."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import click
import msgspec

from trustcenter.cli import output
from trustcenter.cli.options import json_option

from .options import DIRECTORY, PASSPHRASE, passphrase_reader, service_passphrase, show_findings


@click.command("init")
@DIRECTORY
@PASSPHRASE
@click.option("--development", is_flag=True, help="Make a random passphrase and keep it in DIR: for trying out only.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address the service will listen on; 0.0.0.0 or :: for all, with --name.",
)
@click.option(
    "--port", default=8443, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 picks a free one."
)
@click.option("--name", "names", multiple=True, help="Further name or address for the server's certificate.")
@click.option("--postgres-registrar", metavar="CONNINFO", help="PostgreSQL database of the registrar, empty.")
@click.option("--postgres-comparator", metavar="CONNINFO", help="PostgreSQL database of the comparator, empty.")
@click.option(
    "--room",
    type=click.Choice(["both", "registrar", "comparator"]),
    default="both",
    show_default=True,
    help="Which rooms it holds; one of its own is paired with the other by `trustcenter rooms`.",
)
@click.option(
    "--separation",
    type=click.Choice(["process", "operator"]),
    default="process",
    show_default=True,
    help="With one room: whether the other has the same operator, or another. Declared, shown everywhere.",
)
@json_option
def init(
    directory: Path,
    passphrase_file: Path | None,
    development: bool,
    host: str,
    port: int,
    names: tuple[str, ...],
    postgres_registrar: str | None,
    postgres_comparator: str | None,
    room: str,
    separation: str,
    as_json: bool,
) -> None:
    """Create a new instance in DIR: keys, stores, certificate, first operator.

    Write the fingerprint of each room down, on paper: an auditor compares them years later.

    Examples:
      trustcenter init /srv/trustcenter --passphrase-file /run/credentials/passphrase
      trustcenter init /srv/comparator --room comparator --separation operator
    """
    from keys.passphrase import read_passphrase
    from trustcenter.config import Postgres
    from trustcenter.instance import setup

    own = development and passphrase_file is None
    passphrase = None if own else read_passphrase(passphrase_file, prompt=True, confirm=True)
    postgres = Postgres(postgres_registrar, postgres_comparator)
    created = asyncio.run(
        setup.create(
            directory,
            passphrase,
            port=port,
            host=host,
            names=names,
            postgres=postgres,
            room=room,
            separation=separation,
        )
    )
    if as_json:
        click.echo(
            json.dumps(
                {
                    "version": 1,
                    "directory": str(created.directory),
                    "instance": created.instance,
                    "operator": str(created.operator),
                    "fingerprints": created.fingerprints,
                }
            )
        )
        return
    click.echo(f"instance     {created.instance}")
    for made, fingerprint in created.fingerprints.items():
        click.echo(f"{made:<12} {fingerprint}")
    click.echo(f"operator     {created.operator}")
    output.note("Write the fingerprints down on paper: with them an auditor verifies the logs.")
    output.note("Registrar, comparator and each one's keys must never share a backup.")
    if created.passphrase_file is not None:
        output.note("The passphrase lies in this directory: for trying out only.")
    if room == "both":
        output.note(f"Next: trustcenter serve {directory}")
        output.note(f"Then, as the operator: export TRUSTCENTER_CONNECT={created.operator.resolve()}")
    else:
        output.note(f"Next, on both machines: trustcenter rooms card {directory} -o {room}.card")


@click.command("serve")
@DIRECTORY
@PASSPHRASE
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Instead of server.port: for one more process on PostgreSQL."
)
@click.option(
    "--room",
    type=click.Choice(["both", "registrar", "comparator"]),
    help="Refuse to start unless the instance holds exactly this; without it, serve what it holds.",
)
def serve(directory: Path, passphrase_file: Path | None, port: int | None, room: str | None) -> None:
    """Run the service of the instance in DIR until it is stopped (SIGTERM, Ctrl-C).

    Prints the address once it listens; logs go to stderr as JSON lines. Running requests are finished before it
    ends; a linkage run is taken up at the next start.
    """
    from trustcenter import config
    from trustcenter.http import server
    from trustcenter.instance.memory import give_back

    os.umask(0o077)
    give_back()
    settings = config.load(directory)
    if port is not None:
        settings = msgspec.structs.replace(settings, server=msgspec.structs.replace(settings.server, port=port))
    config.require_room(settings, room)
    passphrase = passphrase_reader(settings, passphrase_file)

    def ready(url: str) -> None:
        click.echo(url)
        sys.stdout.flush()

    with asyncio.Runner(loop_factory=server.event_loop) as runner:
        runner.run(server.serve(settings, passphrase, ready=ready))


@click.command("doctor")
@DIRECTORY
@PASSPHRASE
@json_option
@click.pass_context
def doctor(context: click.Context, directory: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Check the instance in DIR and say what to do about what is wrong. Changes nothing.

    Works beside a running service. Exit code 3 when a check fails.
    """
    from trustcenter import config
    from trustcenter.instance.checking import checks

    settings = config.load(directory)
    findings = checks.run(settings, lambda: service_passphrase(settings, passphrase_file))
    show_findings(findings, as_json=as_json)
    if any(finding.state == "fail" for finding in findings):
        context.exit(3)


@click.command("demo")
@click.option(
    "--records", default=5000, show_default=True, type=click.IntRange(200, 200_000), help="Patients per site."
)
@click.option("--seed", default="demo", show_default=True, help="Seed of the synthetic patients.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep every file in this (new) directory."
)
def demo(records: int, seed: str, as_json: bool, keep: Path | None) -> None:
    """Show the whole job with synthetic patients: a service, three sites, linkage, a sealed join map, verified logs.

    Everything is real: a service process, TLS, two stores, two logs. Nothing leaves this machine, and unless
    --keep names a directory nothing stays on it.
    """
    from trustcenter.demo import run

    run(records=records, seed=seed, as_json=as_json, keep=keep)

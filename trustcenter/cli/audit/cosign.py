"""`trustcenter audit`: sites cosign heads of the logs, and hold the service against what others have cosigned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, call, connect_option, connection, force_option, json_option, text_or_file

if TYPE_CHECKING:
    from trustcenter.audit import Key, Witnesses
    from trustcenter.client import TrustCenter

T = TypeVar("T")
_ROOM = click.Choice(["registrar", "comparator"])


def witness_options(command: Any) -> Any:
    """`--witness KEY` and `--quorum N`."""
    command = click.option(
        "--quorum", type=click.IntRange(1), metavar="N", help="How many of the witnesses must have; all, if not given."
    )(command)
    return click.option(
        "--witness",
        "witnesses",
        multiple=True,
        metavar="KEY|FILE",
        help="Verifier key of a site, from that site; it must have cosigned a head of the log. Repeat.",
    )(command)


def demanded(witnesses: tuple[str, ...], quorum: int | None) -> Witnesses:
    """What `witness_options` ask for.

    Raises:
        UsageError: not a key; more than there are. VerificationError: not the key of a witness.
    """
    from trustcenter.audit import Witnesses
    from trustcenter.audit.cosign import parse_witness
    from trustcenter.errors import CommandLineError, UsageError

    keys: list[Key] = [parse_witness(text_or_file(text, "trustcenter/")) for text in witnesses]
    if len({key.name for key in keys}) < len(keys):
        raise UsageError("a witness is named twice", code="witness_twice", hint="one --witness for each site")
    if quorum is not None and quorum > len(keys):
        raise CommandLineError(
            "the quorum is larger than the number of witnesses", hint="give a --witness for each site"
        )
    return Witnesses(tuple(keys), len(keys) if quorum is None else quorum)


@click.command("witness-key")
@click.argument("room", type=_ROOM, default="registrar")
@click.option("--key", type=PATH, required=True, metavar="FILE", help="The site's key: trustcenter staff keygen.")
@click.option("--key-passphrase-file", type=PATH, metavar="FILE", help="File with the passphrase of that key.")
@connect_option
def witness_key(room: str, key: Path, key_passphrase_file: Path | None, connect: Path | None) -> None:
    """Print the verifier key with which others check this site's cosignatures (site).

    Give it to auditors and to other sites yourself, not through the centre: they demand it with --witness. Where the
    rooms are apart, each of them has its own: name the room.

    Example:
      trustcenter staff keygen --no-passphrase -o north.witness.key
      trustcenter audit witness-key --key north.witness.key --connect uk-nord.toml > uk-nord.witness
    """
    from trustcenter.audit import fingerprint
    from trustcenter.cli.secret_input import personal_key
    from trustcenter.client.logs.audit_cosign import witness_key as made
    from trustcenter.client.logs.audit_proofs import claimed

    own = personal_key(key, key_passphrase_file)
    origin = claimed(_at(connect, room, lambda center: center.audit_checkpoint(room))).origin
    vkey = made(origin, connection(connect).caller, own.public_bytes).vkey
    click.echo(vkey)
    output.note(f"fingerprint {fingerprint(vkey)}: read it to those who will demand it")


@click.command("cosign")
@click.argument("rooms", metavar="[ROOM]...", type=_ROOM, nargs=-1)
@click.option("--key", type=PATH, required=True, metavar="FILE", help="The site's key: trustcenter staff keygen.")
@click.option("--key-passphrase-file", type=PATH, metavar="FILE", help="File with the passphrase of that key.")
@json_option
@connect_option
def cosign(
    rooms: tuple[str, ...], key: Path, key_passphrase_file: Path | None, as_json: bool, connect: Path | None
) -> None:
    """Say, signed, that this site saw the logs as they are now (site); of both rooms if none is named.

    A head is cosigned only if its log extends all that this site saw before. What was cosigned is kept in
    CONNECTION.cosigned. Best once a day, by a timer; exit code 3 if a log was rewritten.

    Example:
      trustcenter audit cosign --key north.witness.key --connect uk-nord.toml
    """
    from trustcenter.cli.secret_input import personal_key
    from trustcenter.client.logs.audit_cosign import ROOMS, cosign_head

    own = personal_key(key, key_passphrase_file)
    found = connection(connect)
    assert connect is not None
    path, mark = connect, found.log_key
    made = []
    for room in rooms or ROOMS:
        head, witness = _at(
            connect,
            room,
            lambda center, room=room: cosign_head(  # type: ignore[misc]
                center,
                room,
                found.caller,
                own.public_bytes,
                own.cosign,
                path,
                mark if room == "registrar" else None,
            ),
        )
        made.append({"room": room, "entries": head.size, "witness": witness.name})
    if as_json:
        output.data(made)
    else:
        output.table([tuple(item.values()) for item in made], ("room", "entries", "witness"), empty="")


@click.command("cosigned")
@click.argument("room", type=_ROOM)
@witness_options
@click.option(
    "--days", type=click.FloatRange(0, min_open=True), default=7.0, show_default=True, help="Older ones do not count."
)
@click.option("--key", "fingerprint", metavar="FINGERPRINT", help="Fingerprint of the log's key, from paper.")
@click.option("-o", "--output", "target", type=PATH, metavar="FOLDER", help="Where the cosigned heads go, one a file.")
@force_option
@json_option
@connect_option
def cosigned(
    room: str,
    witnesses: tuple[str, ...],
    quorum: int | None,
    days: float,
    fingerprint: str | None,
    target: Path | None,
    force: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Hold the log of a room against the heads that sites have cosigned. Exit code 3 if they do not fit.

    Whoever is shown another history than a site that is named here finds out: no log extends both. The files that -o
    writes serve `audit verify --checkpoint`.

    Example:
      trustcenter audit cosigned registrar --witness uk-sued.witness --witness uk-ost.witness --quorum 1
    """
    from trustcenter.client.files import replacing, require_writable
    from trustcenter.client.logs.audit_cosign import agreed, require

    wanted = demanded(witnesses, quorum)
    shown, seen = _at(
        connect, room, lambda center: require(center, room, wanted.keys, wanted.quorum, days, fingerprint)
    )
    if target is not None:
        target.mkdir(parents=True, exist_ok=True)
        for head in shown.heads:
            path = target / f"{room}-{head.size}.checkpoint"
            require_writable(path, force=force)
            with replacing(path, force=force) as stream:
                stream.write(head.note.encode())
    if as_json:
        output.data({"heads": shown.heads, "witnesses": seen, "agreed": agreed(seen, wanted.quorum)})
        return
    times = {(one.name, one.size): one.seconds for one in seen}
    rows = []
    for head in shown.heads:
        for vkey in head.witnesses:
            name = vkey.split("+", 1)[0]
            seconds = times.get((name, head.size))
            rows.append((name, head.size, _time(seconds) if seconds else "not compared"))
    output.table(rows, ("witness", "entries", "cosigned"), empty="no site has cosigned this log")
    if wanted.keys:
        output.note(f"{wanted.quorum} of the named witnesses saw the first {agreed(seen, wanted.quorum)} entries")
    else:
        output.hint("give --witness KEY, from the site: without it the centre could have cosigned in its name")


def _at(connect: Path | None, room: str, job: Callable[[TrustCenter], Coroutine[Any, Any, T]]) -> T:
    """Run a job where the log of a room is: at the comparator's own address if the rooms are apart."""
    found = connection(connect)
    if room != "comparator" or found.comparator is None:
        return call(connect, job)
    from trustcenter.client import TrustCenter

    async def run() -> T:
        async with TrustCenter(found.rows, waiting=output.waiting) as center:
            return await job(center)

    return asyncio.run(run())


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

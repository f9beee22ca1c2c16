"""Commands for files that are carried by hand between the rooms."""

from __future__ import annotations

from pathlib import Path

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, call, connect_option, force_option, json_option, output_option
from trustcenter.cli.progress import progress


@click.command("export")
@output_option("File for the comparator.")
@force_option
@json_option
@connect_option
def export(target: Path, force: bool, as_json: bool, connect: Path | None) -> None:
    """Write a file of all that the comparator has to be told (operator of the registrar).

    Parameters of studies, accepted uploads, retired rows, and the windows that are to be compared, sealed to the
    comparator. What is not acknowledged goes into the next file again: a lost file is simply made anew.

    Example:
      trustcenter rooms export -o monday.rooms --connect registrar-operator.toml
    """
    from trustcenter.client.study import room_files

    made = call(connect, lambda center: room_files.export(center, target, force=force))
    if as_json:
        output.data(made)
        return
    output.fields({"messages": made.messages, "windows": made.windows, "bytes": made.size})
    if made.reconciles:
        output.note("it reconciles the rooms: one of them was restored")
    output.hint("carry it to the comparator: trustcenter rooms carry-out FILE -o ANSWER")


@click.command("carry-out")
@click.argument("source", type=PATH, metavar="FILE")
@output_option("File for the registrar: the answer.")
@force_option
@json_option
@connect_option
def carry_out(source: Path, target: Path, force: bool, as_json: bool, connect: Path | None) -> None:
    """Carry out a FILE of the registrar's and write the answer (operator of the comparator).

    Waits until the windows of the file are compared. Interrupted, it is given again with the same FILE.

    Example:
      trustcenter rooms carry-out monday.rooms -o monday.answer --connect comparator-operator.toml
    """
    from trustcenter.client.study import room_files

    with progress("comparing") as tick:
        done = call(connect, lambda center: room_files.carry_out(center, source, target, tick, force=force))
    if as_json:
        output.data(done)
    else:
        output.fields({"messages": done.messages, "windows": done.windows})
    room_files.require_carried_out(done)
    output.hint("carry the answer to the registrar: trustcenter rooms import ANSWER")


@click.command("import")
@click.argument("source", type=PATH, metavar="ANSWER")
@json_option
@connect_option
def bring(source: Path, as_json: bool, connect: Path | None) -> None:
    """Take an ANSWER of the comparator's (operator of the registrar).

    What it acknowledges is not told again; runs whose windows it holds go on at once. Only the answer to the newest
    file is taken.

    Example:
      trustcenter rooms import monday.answer --connect registrar-operator.toml
    """
    from trustcenter.client.study import room_files

    done = call(connect, lambda center: room_files.bring(center, source))
    if as_json:
        output.data(done)
    else:
        output.fields({"messages": done.messages, "windows": done.windows})
    if done.code:
        output.note("the comparator is of another moment: the next file reconciles the rooms")
        output.hint("trustcenter rooms export")

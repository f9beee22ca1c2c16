"""`trustcenter linkage explain`: why two records were joined, or were not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, json_option
from trustcenter.cli.progress import stages
from trustcenter.errors import CommandLineError, UsageError

if TYPE_CHECKING:
    from linkage.evaluate.explain import Explanation, Rival
    from linkage.evaluate.fields import SideBySide
    from trustcenter.client.linking.offline_evaluate import Matched

_BAR = 10.0  # bits that a bar of 20 characters stands for


@click.command()
@click.argument("matched", metavar="DIR", type=PATH)
@click.argument("source_a", metavar="SOURCE")
@click.argument("id_a", metavar="ID")
@click.argument("source_b", metavar="SOURCE")
@click.argument("id_b", metavar="ID")
@click.option(
    "--plaintext", multiple=True, metavar="SOURCE=FILE", help="The table of a source, for a comparison field by field."
)
@click.option("--id-column", metavar="COLUMN", help="Column with the id, in both tables.")
@click.option("--schema", "schema_name", metavar="NAME|FILE", help="Schema, if it is not one that ships.")
@json_option
def explain(
    matched: Path,
    source_a: str,
    id_a: str,
    source_b: str,
    id_b: str,
    plaintext: tuple[str, ...],
    id_column: str | None,
    schema_name: str | None,
    as_json: bool,
) -> None:
    r"""Explain the decision on two records of an outcome of `match`.

    A record is named by its source and its id or record number. The explanation holds edges, their mean level, rivals
    and evidence in bits. With both tables at hand (--plaintext, for both sources) the normalised values stand side by
    side, and the passes that brought the records together: for one desk only.

    Example:
      trustcenter linkage explain joined/ north 10012345 south 20045678
      trustcenter linkage explain joined/ north 10012345 south 20045678 --id-column id \
        --plaintext north=north.csv --plaintext south=south.csv
    """
    import msgspec

    from trustcenter.client.linking.offline_evaluate import Matched

    tables = dict(item.partition("=")[::2] for item in plaintext)
    if plaintext and (set(tables) != {source_a, source_b} or not all(tables.values()) or id_column is None):
        raise CommandLineError("--plaintext is given for both sources, with --id-column")
    with stages() as tick:
        found = Matched(matched, partial(tick, "read"))
    a, b = found.record(source_a, id_a), found.record(source_b, id_b)
    if a == b:
        raise CommandLineError("the two records are one")
    told = found.explainer().explain(a, b)
    side = None
    if plaintext:
        assert id_column is not None
        side = _side_by_side(found, (told.a, told.b), tables, id_column, schema_name)
    if as_json:
        told_json = msgspec.to_builtins(told)
        output.data({**told_json, **({"side_by_side": msgspec.to_builtins(side)} if side is not None else {})})
        return
    _say(told)
    if side is not None:
        _say_fields(side)


def _side_by_side(
    found: Matched, pair: tuple[int, int], tables: dict[str, str], id_column: str, schema_name: str | None
) -> SideBySide:
    from linkage.evaluate.fields import side_by_side
    from linkage.readtable import read_table
    from linkage.schema import load
    from linkage.tables import FURTHER

    schema = load(schema_name if schema_name is not None else found.run.schema)
    if schema.fingerprint != found.run.fingerprint:
        raise UsageError("the outcome was made under another schema", code="wrong_fingerprint")
    values = []
    for record in pair:
        source, _, one = found.records[record]
        table = read_table(Path(tables[source]), id_column=id_column)
        if one not in table.ids:
            raise UsageError("the table does not have the record", code="no_such_record", hint="is it the right file?")
        at = table.ids.index(one)
        chosen = table.select([*(f.name for f in schema.fields), *FURTHER])
        values.append({name: column[at] for name, column in chosen.items()})
    return side_by_side(schema, *values)


def _say(e: Explanation) -> None:
    output.fields(
        {
            "sources": e.sources,
            "decision": e.decision,
            "joined": "yes" if e.joined else "no",
            "why": e.reason,
            "edges": e.edges,
            "mean level": None if e.level is None else f"{e.level:.2f}",
            "posterior": f"{e.posterior:.6f}",
        }
    )
    if e.evidence is not None:
        click.echo()
        steps = [
            ("expected of a best pair", e.evidence.before),
            (f"{e.edges} edges", e.evidence.edges),
            ("their closeness", e.evidence.closeness),
            ("together", e.evidence.total),
        ]
        output.table(([name, f"{bits:+.2f}", _bar(bits)] for name, bits in steps), ("evidence", "bits", ""))
    for side, rivals in (("first", e.rivals_a), ("second", e.rivals_b)):
        click.echo()
        if rivals:
            output.table(_rival_rows(rivals), (f"rivals of the {side}", "edges", "closeness", "decision", "joined"))
        else:
            click.echo(f"the {side} record has no other pair with that source")


def _rival_rows(rivals: Sequence[Rival]) -> list[list[object]]:
    return [
        [f"posterior {r.posterior:.6f}", r.edges, f"{r.closeness:.2f}", r.decision, "yes" if r.joined else "no"]
        for r in rivals
    ]


def _bar(bits: float) -> str:
    return ("+" if bits > 0 else "-") * min(20, round(abs(bits) * 20 / _BAR))


def _say_fields(side: SideBySide) -> None:
    click.echo()
    output.table(([f.name, f.a, f.b, "=" if f.a and f.a == f.b else ""] for f in side.fields), ("field", "a", "b", ""))
    click.echo()
    output.fields({name: word or "missing" for name, word in side.likeness.items()})
    click.echo()
    output.fields({"together in": side.together, "apart in": side.apart, "a part is missing": side.missing})

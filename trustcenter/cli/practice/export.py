"""How a practice's export is read: the options of `practice send` and `practice results`, as one value."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trustcenter.cli.options import separator

if TYPE_CHECKING:
    from trustcenter.client.practice import Export


@dataclass(frozen=True)
class Reading:
    """What was said about an export; what was not said is found from the file."""

    kind: str | None
    charset: str | None
    id_system: str | None
    id_column: str | None
    mapping: tuple[str, ...]
    delimiter: str | None
    scene: bool

    def read(self, source: Path) -> Export:
        """Read an export.

        Raises:
            LocalFileError: it is none, or its own patient number is not found.
        """
        from linkage.tables import parse_mapping
        from trustcenter.client.practice import read_export

        return read_export(
            source,
            format=self.kind,
            charset=self.charset,
            id_column=self.id_column,
            id_system=self.id_system,
            mapping=parse_mapping(self.mapping) if self.mapping else None,
            delimiter=separator(self.delimiter),
            scene=self.scene,
        )


_OPTIONS: Final = (
    click.option("--scene", is_flag=True, help="Addresses are of a scene, not of a dwelling: leave them out."),
    click.option("--delimiter", metavar="CHAR", help="CSV: separator; found from the header if not given."),
    click.option("--map", "mapping", multiple=True, metavar="FIELD=COLUMN", help="CSV: column of a field; repeat."),
    click.option("--id-column", metavar="COLUMN", help="CSV: column with the own patient number."),
    click.option("--id-system", metavar="URL", help="FHIR: system of the own patient number."),
    click.option("--charset", metavar="NAME", help="xDT, CSV: where the file does not say it (cp437, cp1252)."),
    click.option(
        "--format", "kind", type=click.Choice(["xdt", "csv", "fhir"]), help="Found from the file if not given."
    ),
)


def export_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options, as its argument `reading`."""
    names = [field.name for field in fields(Reading)]

    @functools.wraps(command)
    def with_reading(**given: Any) -> None:
        reading = Reading(**{name: given.pop(name) for name in names})
        command(reading=reading, **given)

    wrapped: Callable[..., None] = with_reading
    for option in _OPTIONS:
        wrapped = option(wrapped)
    return wrapped

"""What the demo says, in words that a data manager uses."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import click

_WIDTH = 96


class Story:
    """Prints the demo's steps; silent when figures are wanted as JSON."""

    def __init__(self, *, quiet: bool, base: Path) -> None:
        self._quiet = quiet
        self._base = base
        self._started = time.monotonic()
        self._number = 0
        self._color = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def chapter(self, title: str) -> None:
        """A new step of the story."""
        self._number += 1
        seconds = time.monotonic() - self._started
        head = f"{self._number}  {title} "
        self._say(click.style(f"\n{head.ljust(_WIDTH - 8, '-')} {seconds:4.0f} s", bold=self._color))

    def command(self, who: str, *arguments: str | Path) -> None:
        """A command line as the party typed it; paths are shown relative to the demo's directory."""
        words = [str(word).replace(f"{self._base}/", "") for word in arguments]
        shown = " ".join(f"'{word}'" if " " in word else word for word in words)
        self._say(f"   {who:<15} $ trustcenter {shown}")

    def tell(self, text: str) -> None:
        """A line of the story."""
        self._say(f"   {text}")

    def rows(self, header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
        """A small table."""
        cells = [header, *[tuple("" if cell is None else str(cell) for cell in row) for row in rows]]
        widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
        for row in cells:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self._say(f"     {line.rstrip()}")

    def end(self, figures: dict[str, Any], *, kept: Path | None) -> None:
        """What to remember, and how to go on."""
        quality = figures["quality"]
        self.chapter("What you have seen")
        self.tell(
            f"{figures['records']:,} records of {figures['sites']} sites, {figures['persons_truth']:,} people; "
            f"{quality['true_pairs']:,} true pairs between sites."
        )
        self.tell(
            f"Linked with precision {quality['precision']:.4f}, recall {quality['recall']:.4f}, F1 {quality['f1']:.4f} "
            f"against the truth that only the generator knows."
        )
        self.tell(f"All of it took {figures['seconds']:.0f} seconds.")
        self.tell("")
        self.tell("Which file lies where, and which must never share a backup:")
        self.rows(
            ("file", "party", "alone it says"),
            [
                (
                    "registrar/registrar.db",
                    "registrar",
                    "records, pseudonym rows, who is joined; no identity, no filter",
                ),
                ("registrar-keys/", "registrar", "nothing; never back up with registrar.db"),
                ("comparator/comparator.db", "comparator", "filters in blocks; never back up with registrar.db"),
                ("comparator-keys/", "comparator", "nothing; signs receipts and the comparator's log"),
                (
                    "study.secret",
                    "sites",
                    "nothing; with the comparator: a dictionary of the study. Never at the centre",
                ),
                (
                    "<site>.sitekey",
                    "one site",
                    "nothing; with it the site finds its records again. Never leaves the site",
                ),
                ("joinmap.sealed", "recipient", "nothing without the recipient's key"),
            ],
        )
        self.tell("")
        self.tell("Both rooms ran in one process here. That protects against the loss of one file and against")
        self.tell("programming errors; not against the operator, root, a memory dump or whoever holds both backups.")
        self.tell("")
        if kept is None:
            self.tell("The files are gone again; keep them with: trustcenter demo --keep DIR")
        else:
            self.tell(f"The files lie in {kept}. Start the service again with: trustcenter serve {kept}/center")
            self.tell(f"and ask it as a site: trustcenter domain list --connect {kept}/uk-nord/connection.toml")
            self.tell("(from Python, over files and with curl: docs/how-to/pipeline.md)")
        self.tell("Go on with docs/tutorial.md: your own three sites, step by step.")

    def _say(self, text: str) -> None:
        if not self._quiet:
            click.echo(text)

"""The whole job in one command, with synthetic patients and the real program.

Every step that a person would do is done by calling `trustcenter` as that person would; the demo only keeps the
files apart, one directory per party, and does the recipient's join at the end.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import click

from trustcenter.errors import ConflictError


def run(*, records: int, seed: str, as_json: bool, keep: Path | None) -> None:
    """Run the demo and print what happened.

    Args:
        records: synthetic patients per site.
        seed: of the generator; the same seed gives the same patients.
        as_json: print figures as JSON on stdout instead of the story.
        keep: a new directory for all files; None: a temporary one that is removed.

    Raises:
        ConflictError: `keep` exists and is not empty.
    """
    from .report import Story
    from .story import play

    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise ConflictError(
            "the directory for the demo's files is not empty", code="directory_not_empty", hint="name a new one"
        )
    base = keep if keep is not None else Path(tempfile.mkdtemp(prefix="trustcenter-demo-"))
    base.mkdir(parents=True, exist_ok=True)
    base.chmod(0o700)
    story = Story(quiet=as_json, base=base)
    try:
        figures = play(base, records=records, seed=seed, story=story)
    finally:
        if keep is None:
            shutil.rmtree(base, ignore_errors=True)
    if as_json:
        click.echo(json.dumps({"version": 1, **figures}))
    else:
        story.end(figures, kept=keep)

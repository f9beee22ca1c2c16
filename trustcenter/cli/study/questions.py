"""`trustcenter study questions`: a site looks at records of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import PATH, call, connect_option, force_option, json_option, separator
from trustcenter.errors import CommandLineError
from trustcenter.messages.words import SiteAnswer

from .site import own_records

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.argument("study")
@click.option("--input", "source", type=PATH, required=True, metavar="FILE", help="CSV with the site's own ids.")
@own_records
@click.option("-o", "--output", "target", type=PATH, metavar="FILE", help="Where the ids to look at go.")
@click.option("--answers", is_flag=True, help="The input is that file with a column `answer`: hand it in.")
@force_option
@json_option
@connect_option
def questions(
    study: str,
    source: Path,
    id_column: str,
    site_key: Path,
    delimiter: str | None,
    target: Path | None,
    answers: bool,
    force: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """See which own records the centre asks about, and answer (site).

    Every site is asked about as many records at a time, and most of them are drawn by chance: that a record is asked
    about says nothing about it. Look each of them up and write into a column `answer`: right; changed (it was wrong,
    and you send it again); mixed (it holds data of more than one person); unsure.

    Examples:
      trustcenter study questions sepsis --input patients.csv --id-column pid --site-key site.key -o look.csv
      trustcenter study questions sepsis --input look.csv --id-column pid --site-key site.key --answers
    """
    from keys.secretfiles import SiteKey
    from trustcenter.client.files import require_writable
    from trustcenter.client.jobs.csvstream import read_columns, read_ids, write_csv
    from trustcenter.client.study import study_results as work

    if answers == (target is not None):
        raise CommandLineError("give --output or --answers")
    key = SiteKey.load(site_key).material
    if target is not None:
        require_writable(target, sources=(source, site_key), force=force)
        ids = read_ids(source, id_column, separator(delimiter))
        found, asked = call(connect, lambda center: work.questions(center, study, ids, key))
        write_csv(target, (id_column, "answer"), [(one, "") for one in found], force=force)
        if as_json:
            output.data({"study": study, "questions": asked, "found": len(found)})
        output.note(f"{counted(len(found), 'record')} to look at")
        if asked > len(found):
            output.hint(f"{asked - len(found)} more are not in the input: give the file that holds all patients")
        return
    rows = read_columns(source, (id_column, "answer"))
    said = _checked(rows)
    done = call(connect, lambda center: work.reply(center, study, said, key))
    if as_json:
        output.data(done)
    output.note(f"{done.answered} answers are new; {done.left} questions are left")
    if len(said) < len(rows):
        output.hint(f"{len(rows) - len(said)} rows have no answer yet: fill them in, and hand the file in again")


def _checked(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, SiteAnswer]]:
    words = get_args(SiteAnswer)
    for position, (_, answer) in enumerate(rows):
        if answer and answer not in words:
            raise CommandLineError(f"an answer is one of: {', '.join(words)}", where=f"row {position + 1}")
    given = [(one, cast("SiteAnswer", answer)) for one, answer in rows if answer]
    if not given:
        raise CommandLineError("no row has an answer", hint=f"write into the column answer: {', '.join(words)}")
    return given

"""`trustcenter study clearing`: a steward's work."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import PATH, call, connect_option, force_option, json_option
from trustcenter.errors import CommandLineError, NotFoundError
from trustcenter.messages.words import ClearingReason

if TYPE_CHECKING:
    from trustcenter.messages.api import ClearingTask, ClearingTasks

_FIELDS = ("task", "sites", "origin", "joined", "records", "edges", "level", "rivals", "site_answers", "postponed")
_HEADER = ("task", "sites", "origin", "joined now", "records", "edges", "level", "rivals", "sites say")


@click.command()
@click.argument("study")
@click.option("--task", metavar="ID", help="Show this task alone, or decide or postpone it.")
@click.option("--answer", type=click.Choice(("same", "different")), help="With --task: one person, or two.")
@click.option("--reason", type=click.Choice(get_args(ClearingReason)), help="With --answer: why.")
@click.option("--take-back", is_flag=True, help="With --task: take your own answer back.")
@click.option(
    "--postpone",
    type=click.DateTime(("%Y-%m-%d",)),
    metavar="YYYY-MM-DD",
    help="With --task: show it again on this day, to everybody.",
)
@click.option("--postponed", is_flag=True, help="List what was postponed instead.")
@click.option(
    "--pair",
    nargs=2,
    metavar="SITE=PSEUDONYM SITE=PSEUDONYM",
    help="Make a task of this pair: to join it, or to split it where both are one person now.",
)
@click.option(
    "--ask-sites", multiple=True, metavar="ID", help="Ask the two sites of this task about their own records; repeat."
)
@click.option("-o", "--output", "target", type=PATH, metavar="FILE", help="Export the whole work list as CSV.")
@click.option("--answers", type=PATH, metavar="FILE", help="Hand in such a file, with answer and reason filled in.")
@click.option("--site", "sites", multiple=True, metavar="SITE", help="List only pairs of this site; repeat.")
@click.option("--first", type=click.IntRange(min=1), default=20, show_default=True, help="Rows of the list to show.")
@force_option
@json_option
@connect_option
def clearing(
    study: str,
    task: str | None,
    answer: Literal["same", "different"] | None,
    reason: ClearingReason | None,
    take_back: bool,
    postpone: datetime | None,
    postponed: bool,
    pair: tuple[str, str] | None,
    ask_sites: tuple[str, ...],
    target: Path | None,
    answers: Path | None,
    sites: tuple[str, ...],
    first: int,
    force: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """List and decide doubtful pairs, blind (steward).

    Shown are whether the pair is joined now, how many records the persons concerned have, the number of edges, their
    mean level (smaller is nearer) and the number of rivals; never content, and never what somebody else answered. The
    most urgent come first. In a study with double clearing two stewards have to agree, else a third decides. An answer
    holds from the next linkage run on.

    Examples:
      trustcenter study clearing sepsis
      trustcenter study clearing sepsis --task 0f3c5a…
      trustcenter study clearing sepsis --task 0f3c5a… --answer same --reason evidence-strong
      trustcenter study clearing sepsis --task 0f3c5a… --take-back
      trustcenter study clearing sepsis --task 0f3c5a… --postpone 2027-02-01
      trustcenter study clearing sepsis -o worklist.csv
      trustcenter study clearing sepsis --answers worklist.csv
      trustcenter study clearing sepsis --ask-sites 0f3c5a… --ask-sites 77ab10…
      trustcenter study clearing sepsis --pair uk-nord=ABCD… uk-sued=EFGH…
    """
    from trustcenter.messages.api import ClearingAnswer, ClearingAsk, ClearingPostpone

    of_task = (answer is not None, take_back, postpone is not None)
    others = (pair is not None, bool(ask_sites), target is not None, answers is not None)
    if sum((*of_task, *others)) > 1 or (any(of_task) if task is None else any(others)):
        raise CommandLineError(
            "give --task, alone or with one of --answer, --take-back, --postpone; or one of --pair, --ask-sites,"
            " --output, --answers; or none"
        )
    if (answer is None) != (reason is None):
        reasons = f"--reason is one of: {', '.join(get_args(ClearingReason))}"
        raise CommandLineError("--answer goes with --reason", hint=reasons)
    if task is not None and answer is not None and reason is not None:
        said = ClearingAnswer(answer=answer, reason=reason)
        done = call(connect, lambda center: center.answer_clearing(study, task, said))
        output.item(done, (*_FIELDS, "decided"), as_json=as_json)
        output.note("your answer is kept; what is decided holds from the next linkage run on")
    elif task is not None and take_back:
        done = call(connect, lambda center: center.retract_clearing(study, task))
        output.item(done, (*_FIELDS, "decided"), as_json=as_json)
        output.note("your answer is taken back; had somebody else answered too, then others decide this pair")
    elif task is not None and postpone is not None:
        until = ClearingPostpone(until=postpone.date().isoformat())
        done = call(connect, lambda center: center.postpone_clearing(study, task, until))
        output.item(done, (*_FIELDS, "decided"), as_json=as_json)
    elif task is not None:
        found = call(connect, lambda center: center.clearing(study))
        output.item(_one(found, study, task), (*_FIELDS, "created", "decided"), as_json=as_json)
    elif pair is not None:
        named = [_named(text) for text in pair]
        asked = ClearingAsk(sites=[site for site, _ in named], pseudonyms=[text for _, text in named])
        output.item(call(connect, lambda center: center.ask_clearing(study, asked)), _FIELDS, as_json=as_json)
    elif ask_sites:
        made = call(connect, lambda center: center.ask_sites(study, list(ask_sites)))
        output.item(made, ("round", "each", "tasks"), as_json=as_json)
        output.note("every site of the study is asked about as many of its records; answers show in the work list")
    elif answers is not None:
        _hand_in(study, answers, as_json, connect)
    else:
        _list(study, target, first, postponed, sites, force, as_json, connect)


def _one(found: ClearingTasks, study: str, task: str) -> ClearingTask:
    """A task that waits for the caller, was postponed, or could not be carried out."""
    for one in (*found.tasks, *found.postponed, *found.unmet):
        if one.task == task:
            return one
    raise NotFoundError(
        "no such task waits for you, was postponed, or could not be carried out",
        code="unknown_task",
        hint=f"those that do: trustcenter study clearing {study}; what is decided, or answered by you, is not shown",
    )


def _named(text: str) -> tuple[str, str]:
    site, found, pseudonym = text.partition("=")
    if not found:
        raise CommandLineError("a record is given as SITE=PSEUDONYM", where="--pair")
    return site, pseudonym


def _hand_in(study: str, source: Path, as_json: bool, connect: Path | None) -> None:
    from trustcenter.cli.progress import progress
    from trustcenter.client.study import clearing_file

    rows = clearing_file.read(source)
    with progress("handing in") as tick:
        done = call(connect, lambda center: clearing_file.hand_in(center, study, rows, tick))
    if as_json:
        output.data(done)
    output.note(f"{counted(done.answered, 'answer')} kept, {counted(done.decided, 'task')} decided with them")
    if done.over:
        output.note(
            f"{counted(done.over, 'task')} took no answer: decided by others or theirs to decide, gone with a run or"
            " a record, or of another study"
        )


def _list(
    study: str,
    target: Path | None,
    first: int,
    postponed: bool,
    sites: tuple[str, ...],
    force: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    from trustcenter.client.files import require_writable
    from trustcenter.client.study import clearing_file

    if target is not None:
        require_writable(target, force=force)
    found = call(connect, lambda center: center.clearing(study))
    tasks = [t for t in (found.postponed if postponed else found.tasks) if set(sites) <= set(t.sites)]
    if target is not None:
        clearing_file.write(target, tasks, force=force)
    elif as_json:
        output.data(tasks)
    else:
        output.table(
            (
                (
                    *(t.task, " + ".join(t.sites), t.origin, t.joined, t.records, t.edges, t.level, t.rivals),
                    *(t.site_answers, t.postponed if postponed else t.created[:10]),
                )
                for t in tasks[:first]
            ),
            (*_HEADER, "waits until" if postponed else "waits since"),
            empty="nothing was postponed" if postponed else "nothing waits for you",
        )
        if len(tasks) > first:
            output.note(f"{first} of {len(tasks)} are shown (--first)")
    output.note(
        f"{counted(found.total, 'task')}: {len(found.tasks):,} for you now, {len(found.postponed):,} postponed,"
        f" {found.decided:,} decided, {found.disagreements:,} disagreed on"
    )
    if found.disagreements:
        output.hint("pairs that two stewards disagree on wait for a third, who sees them like any other")
    if found.unmet:
        output.note(
            f"{counted(len(found.unmet), 'pair')} called the same could not be joined: {', '.join(_unmet(found))}"
        )
        output.hint("a site holds two records of that person: it declares them with trustcenter study duplicates")
    elif target is not None and tasks:
        output.hint(f"fill in answer and reason, then: trustcenter study clearing {study} --answers {target}")


def _unmet(found: ClearingTasks) -> list[str]:
    return [f"{task.task} ({' + '.join(task.sites)})" for task in found.unmet]

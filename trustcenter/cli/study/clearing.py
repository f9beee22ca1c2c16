"""`trustcenter study clearing`: a steward's work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from trustcenter.cli import output
from trustcenter.cli.options import PATH, call, connect_option, force_option, json_option
from trustcenter.errors import CommandLineError
from trustcenter.messages.words import ClearingReason

if TYPE_CHECKING:
    from trustcenter.messages.api import ClearingTasks

_COLUMNS = ("task", "sites", "origin", "edges", "level", "rivals", "site_answers", "postponed")


@click.command()
@click.argument("study")
@click.option("--task", metavar="ID", help="The task that you decide or postpone.")
@click.option("--answer", type=click.Choice(("same", "different")), help="With --task: one person, or two.")
@click.option("--reason", type=click.Choice(get_args(ClearingReason)), help="With --answer: why.")
@click.option("--postpone", metavar="YYYY-MM-DD", help="With --task: show it again on this day.")
@click.option(
    "--pair",
    nargs=2,
    metavar="SITE=PSEUDONYM SITE=PSEUDONYM",
    help="Make a task of this pair: to join it, or to split it where both are one person now.",
)
@click.option(
    "--ask-sites", multiple=True, metavar="ID", help="Ask the two sites of this task about their own records; repeat."
)
@click.option("-o", "--output", "target", type=PATH, metavar="FILE", help="Export the work list as CSV.")
@force_option
@json_option
@connect_option
def clearing(
    study: str,
    task: str | None,
    answer: Literal["same", "different"] | None,
    reason: ClearingReason | None,
    postpone: str | None,
    pair: tuple[str, str] | None,
    ask_sites: tuple[str, ...],
    target: Path | None,
    force: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """List and decide doubtful pairs, blind (steward).

    Shown are the number of edges, their mean level (smaller is nearer) and the number of rivals; never content, and
    never what somebody else answered. In a study with double clearing two stewards have to agree, else a third
    decides. An answer holds from the next linkage run on.

    Examples:
      trustcenter study clearing sepsis
      trustcenter study clearing sepsis --task 0f3c5a… --answer same --reason evidence-strong
      trustcenter study clearing sepsis --task 0f3c5a… --postpone 2027-02-01
      trustcenter study clearing sepsis --ask-sites 0f3c5a… --ask-sites 77ab10…
      trustcenter study clearing sepsis --pair uk-nord=ABCD… uk-sued=EFGH…
    """
    from trustcenter.messages.api import ClearingAnswer, ClearingAsk, ClearingPostpone

    wanted = (answer is not None, postpone is not None, pair is not None, bool(ask_sites), target is not None)
    if sum(wanted) > 1 or (task is not None) != (answer is not None or postpone is not None):
        raise CommandLineError("give --task with --answer or --postpone, or --pair, --ask-sites or --output, or none")
    if (answer is None) != (reason is None):
        reasons = f"--reason is one of: {', '.join(get_args(ClearingReason))}"
        raise CommandLineError("--answer goes with --reason", hint=reasons)
    if task is not None and answer is not None and reason is not None:
        said = ClearingAnswer(answer=answer, reason=reason)
        done = call(connect, lambda center: center.answer_clearing(study, task, said))
        output.item(done, (*_COLUMNS, "decided"), as_json=as_json)
        output.note("your answer is kept; what is decided holds from the next linkage run on")
    elif task is not None and postpone is not None:
        until = ClearingPostpone(until=postpone)
        done = call(connect, lambda center: center.postpone_clearing(study, task, until))
        output.item(done, (*_COLUMNS, "decided"), as_json=as_json)
    elif pair is not None:
        named = [_named(text) for text in pair]
        asked = ClearingAsk(sites=[site for site, _ in named], pseudonyms=[text for _, text in named])
        output.item(call(connect, lambda center: center.ask_clearing(study, asked)), _COLUMNS, as_json=as_json)
    elif ask_sites:
        made = call(connect, lambda center: center.ask_sites(study, list(ask_sites)))
        output.item(made, ("round", "each", "tasks"), as_json=as_json)
        output.note("every site of the study is asked about as many of its records; answers show in the work list")
    else:
        _list(study, target, force, as_json, connect)


def _named(text: str) -> tuple[str, str]:
    site, found, pseudonym = text.partition("=")
    if not found:
        raise CommandLineError("a record is given as SITE=PSEUDONYM", where="--pair")
    return site, pseudonym


def _list(study: str, target: Path | None, force: bool, as_json: bool, connect: Path | None) -> None:
    found = call(connect, lambda center: center.clearing(study))
    if target is not None:
        from trustcenter.client.jobs.csvstream import write_csv

        lines = [
            (
                *(t.task, "+".join(t.sites), t.origin, t.edges, "" if t.level is None else round(t.level, 4), t.rivals),
                *("+".join(t.site_answers or ()), t.created),
            )
            for t in found.tasks
        ]
        header = ("task", "sites", "origin", "edges", "level", "rivals", "site_answers", "created")
        write_csv(target, header, lines, force=force)
    else:
        output.items(found.tasks, _COLUMNS, as_json=as_json, empty="nothing waits for you")
    output.note(
        f"{len(found.tasks)} wait for you; of {found.total} tasks {found.decided} are decided,"
        f" {found.disagreements} disagreed on"
    )
    if found.unmet:
        output.note(f"{len(found.unmet)} pairs called the same could not be joined: {', '.join(_unmet(found))}")
        output.hint("a site holds two records of that person: it declares them with trustcenter study duplicates")


def _unmet(found: ClearingTasks) -> list[str]:
    return [f"{task.task} ({' + '.join(task.sites)})" for task in found.unmet]

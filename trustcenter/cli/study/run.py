"""`trustcenter study link` and `release`: the centre's part in a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkage.wording import counted
from trustcenter.cli import output
from trustcenter.cli.options import PATH, call, connect_option, force_option, json_option, passphrase_option
from trustcenter.cli.progress import progress
from trustcenter.errors import CommandLineError

if TYPE_CHECKING:
    from trustcenter.messages.api import Release, Run

_RUNS = ("run", "window", "mode", "state", "created", "finished", "error")
_RELEASE = ("release", "study", "recipient", "run", "state", "approvals", "required", "records", "created")
_RELEASES = ("release", "recipient", "state", "approvals", "required", "records", "created")


@click.command()
@click.argument("study")
@click.option("--run", metavar="ID", help="Follow this run instead of starting one.")
@click.option("--cancel", metavar="ID", help="Cancel this run instead.")
@click.option("--no-wait", is_flag=True, help="Do not follow; print the run and end.")
@click.option("--dry-run", is_flag=True, help="Say what a run would compare and how long it would take.")
@click.option("--full", "mode", flag_value="full", help="Compare and decide everything again.")
@click.option("--estimate", "mode", flag_value="estimate", help="Decide everything with weights estimated anew.")
@json_option
@connect_option
def link(
    study: str,
    run: str | None,
    cancel: str | None,
    no_wait: bool,
    dry_run: bool,
    mode: str | None,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Link the sources of a study and follow the run (operator).

    A run is a window: new and changed records are compared with all others, and what hangs together with them is
    decided with the study's frozen weights. Every night: docs/how-to/windows.md. Interrupting the command does not
    stop the run. Where files are carried by hand to the comparator, --dry-run asks with the next files and is
    answered when they are back.

    Examples:
      trustcenter study link sepsis
      trustcenter study link sepsis --dry-run
      trustcenter study link sepsis --estimate
      trustcenter study link sepsis --run 0f3c5a… --json
    """
    from trustcenter.client import TrustCenter
    from trustcenter.client import operator as work

    wanted = mode or "window"
    if cancel is not None:
        _say(call(connect, lambda center: center.cancel_run(study, cancel)), as_json)
        return
    if dry_run:
        plan = call(connect, lambda center: center.plan_run(study, wanted))
        if as_json:
            output.data(plan)
            return
        output.fields(
            {
                "rows": plan.rows,
                "new rows": plan.fresh_rows,
                "comparisons, about": plan.comparisons,
                "decides": "everything" if plan.everything else "what hangs together with new rows",
                "seconds, about": plan.seconds,
            }
        )
        return
    if no_wait:

        async def once(center: TrustCenter) -> Run:
            return await (center.start_run(study, wanted) if run is None else center.run(study, run))

        _say(call(connect, once), as_json)
        return
    seen: list[str] = []
    with progress("linking") as tick:

        def follow(now: Run) -> None:
            if not seen:
                seen.append(now.run)
                output.note(f"run {now.run}")
            tick(now.done, now.total)

        try:
            done = call(connect, lambda center: work.link(center, study, run, follow, wanted))
        except KeyboardInterrupt:
            if seen:
                output.hint(f"the run goes on; follow it with --run {seen[0]}, stop it with --cancel {seen[0]}")
            raise
    _say(done, as_json)


@click.command("runs")
@click.argument("study")
@json_option
@connect_option
def list_runs(study: str, as_json: bool, connect: Path | None) -> None:
    """List the linkage runs of a study, newest first (operator or auditor).

    Example:
      trustcenter study runs sepsis
    """
    found = call(connect, lambda center: center.runs(study))
    output.items(found, _RUNS, as_json=as_json, empty="nothing was linked yet")


def _say(run: Run, as_json: bool) -> None:
    if as_json:
        output.data(run)
        return
    pairs: dict[str, object] = {"run": run.run, "state": run.state, "window": run.window}
    if run.counts is not None:
        pairs |= {
            "mode": run.mode,
            "new edges": run.counts.edges,
            "records decided": run.counts.decided,
            "persons": run.counts.persons,
            "linked persons": run.counts.linked_persons,
            "largest cluster": run.counts.largest_cluster,
        }
    output.fields(pairs)
    if run.counts is not None:
        click.echo()
        output.table(
            ([" + ".join(p.sites), p.edges, p.matches, p.possible] for p in run.counts.pairs),
            ("sites", "edges", "matches", "possible"),
        )
        if sum(p.possible for p in run.counts.pairs):
            output.hint(f"possible pairs wait for stewards, if there are any: trustcenter study clearing {run.study}")
        for sites in run.counts.outgrown:
            output.hint(
                f"{' + '.join(sites)}: weights were frozen with less than half of what they have now;"
                f" to estimate anew: trustcenter study link {run.study} --estimate"
            )
        for site in run.counts.refused_declarations:
            output.note(f"{site} holds one person twice, against its declaration: its pairs are possible at most")
        if run.counts.unmet:
            output.note(
                f"{counted(run.counts.unmet, 'pair')} called the same could not be joined;"
                " see trustcenter study clearing"
            )
        without = sum(source.left_out for source in run.counts.sources)
        if without:
            output.note(f"{counted(without, 'record')} left out: without the consent that the study requires")


@click.command()
@click.argument("study")
@click.option("--recipient", metavar="NAME", help="Propose to release the latest run to this recipient (operator).")
@click.option("--release", "release_id", metavar="ID", help="Show this release, approve it or fetch its map.")
@click.option("--approve", is_flag=True, help="Sign the release (approver).")
@click.option("--personal-key", type=PATH, metavar="FILE", help="With --approve: your personal key.")
@click.option("--yes", is_flag=True, help="With --approve: do not ask after showing the statement.")
@click.option("--fetch", is_flag=True, help="Fetch the sealed join map (operator).")
@click.option("-o", "--output", "target", type=PATH, metavar="FILE", help="With --fetch: where the map goes.")
@passphrase_option
@force_option
@json_option
@connect_option
def release(
    study: str,
    recipient: str | None,
    release_id: str | None,
    approve: bool,
    personal_key: Path | None,
    yes: bool,
    fetch: bool,
    target: Path | None,
    passphrase_file: Path | None,
    force: bool,
    as_json: bool,
    connect: Path | None,
) -> None:
    """Release the join map: one proposes, two others sign, then it is fetched, sealed to the recipient.

    Without --recipient and --release it lists the releases of the study.

    Examples:
      trustcenter study release sepsis --recipient registry
      trustcenter study release sepsis
      trustcenter study release sepsis --release 0f3c5a… --approve --personal-key anna.key
      trustcenter study release sepsis --release 0f3c5a… --fetch -o joinmap.sealed
    """
    asked = sum((recipient is not None, approve, fetch))
    if asked > 1 or (asked == 1 and (recipient is None) == (release_id is None)):
        raise CommandLineError(
            "give --recipient, or --release with at most one of --approve and --fetch, or none of them to list",
        )
    if approve != (personal_key is not None) or fetch != (target is not None):
        raise CommandLineError("--approve goes with --personal-key, --fetch with --output")
    if recipient is not None:
        made = call(connect, lambda center: center.propose_release(study, recipient))
        _show(made, as_json)
        if made.state == "proposed":
            output.note(f"{made.required} approvers sign it next:")
            output.note(f"trustcenter study release {study} --release {made.release} --approve --personal-key FILE")
        return
    if release_id is None:
        found = call(connect, lambda center: center.releases(study))
        output.items(found, _RELEASES, as_json=as_json, empty="nothing was proposed yet")
        return
    if approve:
        assert personal_key is not None
        signed = _approve(connect, study, release_id, personal_key, passphrase_file, yes=yes)
        _show(signed, as_json)
        if signed.state == "released":
            output.hint(
                f"an operator fetches it: trustcenter study release {study} --release {release_id} --fetch -o FILE"
            )
    elif fetch:
        assert target is not None
        _fetch(connect, study, release_id, target, force, as_json)
    else:
        _show(call(connect, lambda center: center.release(study, release_id)), as_json)


def _approve(
    connect: Path | None, study: str, release_id: str, key_file: Path, passphrase_file: Path | None, *, yes: bool
) -> Release:
    from trustcenter.cli.secret_input import personal_key
    from trustcenter.cli.signing import signer
    from trustcenter.client import operator as work

    sign = signer(personal_key(key_file, passphrase_file), work.CONTEXT, yes=yes)
    return call(connect, lambda center: work.approve(center, study, release_id, sign))


def _fetch(connect: Path | None, study: str, release_id: str, target: Path, force: bool, as_json: bool) -> None:
    from trustcenter.client import operator as work

    size = call(connect, lambda center: work.fetch_join_map(center, study, release_id, target, force=force))
    if as_json:
        output.data({"study": study, "release": release_id, "bytes": size})
    output.note(f"wrote {size} bytes; only the recipient can open them, with `trustcenter recipient open`")


def _show(found: Release, as_json: bool) -> None:
    output.item(found, _RELEASE, as_json=as_json)

"""The report of a study and period as one page: HTML without script, font or network, in German or English."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from linkage import charts

from .audit_findings import Findings, Reidentification
from .audit_wording import SMALL, Markup, Wording

if TYPE_CHECKING:
    from trustcenter.audit import Report

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#1a1a1a}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:1.8em;border-bottom:1px solid #999}
table{border-collapse:collapse;width:100%;margin:.5em 0 1em}
td,th{padding:.2em .7em .2em 0;text-align:left;vertical-align:top}th{border-bottom:1px solid #bbb}
td{overflow-wrap:break-word}.facts td:first-child{width:30%;color:#444}
small{display:block;color:#555;font-size:.8em}.mono{font-family:ui-monospace,monospace;font-size:.85em;overflow-wrap:anywhere}
.good{border-left:4px solid #2a6f97;padding-left:.8em}.warn{border-left:4px solid #b00;padding-left:.8em}
figure{margin:.5em 0}svg{max-width:100%;height:auto}
@page{size:A4;margin:16mm}
@media print{body{margin:0;padding:0;max-width:none;font-size:9.5pt}h2{break-after:avoid}tr,figure{break-inside:avoid}}
"""


def page(found: Findings, language: str = "en") -> str:
    """The whole page.

    Args:
        found: facts of verified logs.
        language: "de" or "en".
    """
    say = Wording(language)
    title = f"{say['title']}: {found.study or say['everything']}"
    sections = [
        ("verified", _verified(found, say)),
        ("purpose", _purpose(found, say)),
        ("parties", _parties(found, say)),
        ("separation", _separation(found, say)),
        ("parameters", _parameters(found, say)),
        ("quality", _quality(found, say)),
        ("releases", _releases(found, say)),
        ("reidentifications", _reidentified(found, say)),
        ("disclosures", _disclosed(found, say)),
        ("refusals", _refusals(found, say)),
        ("keys", _keys(found, say)),
        ("removals", _removals(found, say)),
        ("retention", _retention(found, say)),
        ("limits", f"<p>{escape(say['limits_text'])}</p>"),
    ]
    since, until = (say.moment(time) if time else "" for time in (found.since, found.until))
    period = f"{since or say['start']} – {until or say['end']}"
    body = "".join(f"<h2>{escape(say[word])}</h2>{text}" for word, text in sections)
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"<p>{escape(say['period'])}: {escape(period)}</p>{body}</body></html>\n"
    )


def _verified(found: Findings, say: Wording) -> str:
    text = f'<p class="good">{escape(say["intact"])}</p>' + "".join(_log(log, say) for log in found.logs)
    if not all(log.fingerprint_checked for log in found.logs):
        text += say.warning("unchecked")
    if not all(log.checkpoints for log in found.logs):
        text += say.warning("no_checkpoint")
    if any(log.selection for log in found.logs):
        text += say.warning("extract")
    return text


def _log(log: Report, say: Wording) -> str:
    """What was verified of one log."""
    size, entries = say.number(log.size), say.number(log.entries)
    rows = [
        (say["log"], Markup(f'{escape(say.room(log.room))} <span class="mono">{escape(log.origin)}</span>')),
        (say["entries"], say["of_whole"].format(count=entries, size=size) if log.selection else size),
        (say["root"], _mono(log.root)),
        (say["key"], _mono(log.fingerprint)),
        (say["compared"], say["yes"] if log.fingerprint_checked else say["no"]),
        (say["checkpoints"], say.number(log.checkpoints)),
        (
            say["seen"],
            ", ".join(f"{one.name.rpartition('/')[2]} ({say.number(one.size)})" for one in log.witnesses) or "–",
        ),
    ]
    if log.first_time:
        rows.insert(2, (say["time"], f"{say.moment(log.first_time)} – {say.moment(log.last_time)}"))
    if len(log.keys) > 1:
        rows.insert(-3, (say["later_keys"], _mono(", ".join(log.keys[1:]))))
    return say.table("", rows)


def _mono(text: str) -> Markup:
    return Markup(f'<span class="mono">{escape(text)}</span>')


def _purpose(found: Findings, say: Wording) -> str:
    made = found.created
    facts = {word: str(made.get(word, "")) for word in ("purpose", "permit")}
    facts |= {"created": say.moment(str(made["time"])) if made else "", "by": str(made.get("who", ""))}
    return say.table("", [(say[word], text or say["not_logged"]) for word, text in facts.items()])


def _parties(found: Findings, say: Wording) -> str:
    made = found.created
    sites = {*map(str, made.get("sites", [])), *found.issued, *found.registered}
    rows = [
        (
            say["service"] if site == "service" else site,
            say.number(found.issued[site]),
            say.number(found.registered[site]),
        )
        for site in sorted(sites, key=lambda site: (site == "service", site))
    ]
    recipients = [(str(r.get("name", "")), _mono(str(r.get("key", "")))) for r in made.get("recipients", [])]
    return say.table(say["sites_head"], rows) + say.table(say["recipients_head"], recipients)


def _separation(found: Findings, say: Wording) -> str:
    kind = str(found.created.get("separation", ""))
    text = f"<p>{escape(say.get(f'separation_{kind}', kind))}</p>" if kind else ""
    told = [(room, say.moment(time) if time else say["start"], kind) for room, time, kind in found.separations]
    told += [(log.room, say["signed_head"], log.separation) for log in found.logs]
    rows = [(say.room(room), when, say.get(f"word_{kind}", kind) or say["not_told"]) for room, when, kind in told]
    text += say.table(say["separation_head"], rows)
    if len({log.separation for log in found.logs if log.separation}) > 1:
        text += say.warning("separations_differ")
    if len({log.room for log in found.logs}) < 2:
        text += say.warning("one_room")
    return text


def _parameters(found: Findings, say: Wording) -> str:
    rows = [
        (say["schema"], str(found.created.get("schema", "")) or say["not_logged"]),
        (say["fingerprint"], _mono(str(found.created.get("fingerprint", "")) or say["not_logged"])),
    ]
    runs = [
        (
            Markup(f"{say.moment(run['time'])} <small>{escape(str(run.get('run', '')))}</small>"),
            str(run.get("window", "")),
            _mono(str(run.get("parameters", ""))),
            " – ".join(f"{value / 1e6:g}" for value in run.get("thresholds_ppm", [])) or say["not_logged"],
            say.number(int(run.get("edges", 0))),
            say.people(int(run.get("persons", 0))),
        )
        for run in found.runs
    ]
    return say.table("", rows) + say.table(say["runs_head"], runs)


def _quality(found: Findings, say: Wording) -> str:
    totals = found.totals()
    if not totals:
        return f"<p>{escape(say['none'])}</p>"
    kinds = ("matches", "possible")
    records = [(site, (count,)) for site, count in sorted(totals["records"].items())]
    pairs = sorted({*totals["matches"], *totals["possible"]})
    rows = [(pair, *(say.people(totals[kind][pair]) for kind in kinds)) for pair in pairs]
    # A chart has one bar per pair; what is withheld in the table is withheld here as well.
    shown = [(pair, tuple(_drawn(totals[kind][pair]) for kind in kinds)) for pair in pairs]
    text = _chart("records", records, ("records",), say) + _chart("pairs", shown, kinds, say)
    if len(found.runs) > 1:
        text += _chart("history", _history(found), kinds, say)
    return text + say.table(say["pairs_head"], rows) + f"<p>{escape(say['small'])}</p>"


def _chart(title: str, rows: Sequence[tuple[str, Sequence[int]]], parts: Sequence[str], say: Wording) -> str:
    drawn = charts.bars(say[title], rows, [say[part] for part in parts], thousands=say.thousands)
    return f"<figure>{drawn}</figure>"


def _drawn(count: int) -> int:
    return 0 if count < SMALL else count


def _history(found: Findings) -> list[tuple[str, tuple[int, ...]]]:
    """Matches and possible matches of each run."""
    rows = []
    for run in found.runs:
        pairs = run.get("pairs", [])
        counts = (sum(int(pair[kind]) for pair in pairs) for kind in ("matches", "possible"))
        rows.append((f"{run['time'][:10]} ({run.get('window', '')})", tuple(_drawn(count) for count in counts)))
    return rows


def _releases(found: Findings, say: Wording) -> str:
    rows = [(say.moment(time), say.event(event), who, recipient) for time, event, who, recipient in found.releases]
    return say.table(say["releases_head"], rows)


def _reidentified(found: Findings, say: Wording) -> str:
    def row(one: Reidentification) -> tuple[object, ...]:
        end = f"{say['denied']}: {one.denied_by}" if one.denied_by else ", ".join(one.approved_by) or say["open"]
        gone = say["deleted"].format(years=one.deleted) if one.deleted else say["statement"]
        reason = one.reason or Markup(f"{escape(gone)} {_mono(one.statement)}")
        return say.moment(one.time), one.site, one.domain, say.number(one.count), reason, end, say.number(one.originals)

    return say.table(say["reidentifications_head"], map(row, found.reidentifications.values()))


def _disclosed(found: Findings, say: Wording) -> str:
    rows = [
        (
            say.moment(one.time),
            one.who,
            _mono(one.run),
            one.reason or Markup(f"{escape(say['statement'])} {_mono(one.statement)}"),
            one.approved_by or say["open"],
            say.number(one.read),
        )
        for one in found.disclosures.values()
    ]
    return say.table(say["disclosures_head"], rows)


def _refusals(found: Findings, say: Wording) -> str:
    rows = [
        (say.event(event), "–" if who == "service" else who, code, say.number(count))
        for (event, who, code), count in sorted(found.refusals.items())
    ]
    return say.table(say["refusals_head"], rows)


def _keys(found: Findings, say: Wording) -> str:
    rows = [(say.moment(time), say.event(event), *rest) for time, event, *rest in found.keys]
    return say.table(say["keys_head"], rows)


def _removals(found: Findings, say: Wording) -> str:
    rows = [(say.event(event), say.number(count)) for event, count in sorted(found.removals.items())]
    return say.table(say["removals_head"], rows)


def _retention(found: Findings, say: Wording) -> str:
    rules = [
        (say.moment(time), say.event(event), str(years), who, approved_by or "–")
        for time, event, years, who, approved_by in found.rules
    ]
    deleted = [
        (say.event(one.detail_of), str(one.years), one.before, say.number(one.entries), say.number(one.details))
        for log in found.logs
        for one in log.deletions
    ]
    if not rules and not deleted:
        return say.table("", [])
    return say.table(say["rules_head"], rules) + say.table(say["retention_head"], deleted)

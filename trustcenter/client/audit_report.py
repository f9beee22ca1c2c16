"""The report of a study and period as one page: HTML without script, font or network, in German or English."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

from linkage import charts

from .audit_findings import Findings, Reidentification
from .audit_words import WORDS

SMALL: Final = 5  # counts of people from 1 up to below this are not told
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#1a1a1a}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:1.8em;border-bottom:1px solid #999}
table{border-collapse:collapse;width:100%;margin:.5em 0}
td,th{padding:.2em .7em .2em 0;text-align:left;vertical-align:top}
th{border-bottom:1px solid #bbb}td{overflow-wrap:anywhere}.mono{font-family:ui-monospace,monospace;font-size:.85em}
.warn{border-left:4px solid #b00;padding-left:.8em}figure{margin:.5em 0}svg{max-width:100%}
@media print{body{margin:0;max-width:none;font-size:11pt}h2{break-after:avoid}tr,figure{break-inside:avoid}}
"""


def page(found: Findings, language: str = "en") -> str:
    """The whole page.

    Args:
        found: facts of verified logs.
        language: "de" or "en".
    """
    words = WORDS[language]
    title = f"{words['title']}: {found.study or words['everything']}"
    sections = [
        (words["verified"], _verified(found, words)),
        (words["purpose"], _purpose(found, words)),
        (words["parties"], _parties(found, words)),
        (words["separation"], _separation(found, words)),
        (words["parameters"], _parameters(found, words)),
        (words["quality"], _quality(found, words)),
        (words["releases"], _table(words["releases_head"], found.releases, words)),
        (words["reidentifications"], _reidentified(found, words)),
        (words["disclosures"], _disclosed(found, words)),
        (words["refusals"], _refusals(found, words)),
        (words["keys"], _table(words["keys_head"], found.keys, words)),
        (words["removals"], _table(words["removals_head"], sorted(found.removals.items()), words)),
        (words["retention"], _deleted(found, words)),
        (words["limits"], f"<p>{escape(words['limits_text'])}</p>"),
    ]
    period = f"{found.since or words['start']} – {found.until or words['end']}"
    body = "".join(f"<h2>{escape(head)}</h2>{text}" for head, text in sections)
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"<p>{escape(words['period'])}: {escape(period)}</p>{body}</body></html>\n"
    )


def people(count: int) -> str:
    """A count of people or pairs, small ones withheld."""
    return f"<{SMALL}" if 0 < count < SMALL else f"{count:,}"


def _verified(found: Findings, words: dict[str, str]) -> str:
    rows = [
        (
            log.origin,
            f"{log.entries:,} / {log.size:,}",
            f"{log.first_time or '–'} – {log.last_time or '–'}",
            log.root,
            log.fingerprint,
            words["yes"] if log.fingerprint_checked else words["no"],
            str(log.checkpoints),
            ", ".join(f"{one.name.rpartition('/')[2]} ({one.size:,})" for one in log.witnesses) or "–",
        )
        for log in found.logs
    ]
    text = _table(words["verified_head"], rows, words)
    if not all(log.fingerprint_checked for log in found.logs):
        text += f'<p class="warn">{escape(words["unchecked"])}</p>'
    if not any(log.checkpoints for log in found.logs):
        text += f'<p class="warn">{escape(words["no_checkpoint"])}</p>'
    if any(log.selection for log in found.logs):
        text += f'<p class="warn">{escape(words["extract"])}</p>'
    return text


def _purpose(found: Findings, words: dict[str, str]) -> str:
    made = found.created
    rows = [
        (words[word], str(made.get(key, "")) or words["not_logged"])
        for word, key in (("purpose", "purpose"), ("permit", "permit"), ("created", "time"), ("by", "who"))
    ]
    return _table("", rows, words)


def _parties(found: Findings, words: dict[str, str]) -> str:
    made = found.created
    sites = sorted({*map(str, made.get("sites", [])), *found.issued, *found.registered})
    rows = [(site, f"{found.issued[site]:,}", f"{found.registered[site]:,}") for site in sites]
    recipients = [(str(r.get("name", "")), str(r.get("key", ""))) for r in made.get("recipients", [])]
    return _table(words["sites_head"], rows, words) + _table(words["recipients_head"], recipients, words)


def _separation(found: Findings, words: dict[str, str]) -> str:
    kind = str(found.created.get("separation", ""))
    text = words.get(f"separation_{kind}", words["not_logged"])
    rooms = {log.room for log in found.logs}
    missing = "" if len(rooms) > 1 else f'<p class="warn">{escape(words["one_room"])}</p>'
    signed = [(log.room, words["signed_head"], log.separation or words["not_told"]) for log in found.logs]
    starts = [(room, time or words["start"], told) for room, time, told in found.separations]
    differ = len({log.separation for log in found.logs if log.separation}) > 1
    warning = f'<p class="warn">{escape(words["separations_differ"])}</p>' if differ else ""
    return f"<p>{escape(text)}</p>{_table(words['separation_head'], [*starts, *signed], words)}{warning}{missing}"


def _parameters(found: Findings, words: dict[str, str]) -> str:
    rows = [(words["schema"], str(found.created.get("schema", "")) or words["not_logged"])]
    rows += [(words["fingerprint"], str(found.created.get("fingerprint", "")) or words["not_logged"])]
    text = _table("", rows, words)
    runs = [
        (
            run["time"],
            str(run.get("window", "")),
            str(run.get("parameters", "")),
            " – ".join(f"{value / 1e6:g}" for value in run.get("thresholds_ppm", [])) or words["not_logged"],
            f"{run.get('edges', 0):,}",
            people(int(run.get("persons", 0))),
        )
        for run in found.runs
    ]
    return text + _table(words["runs_head"], runs, words)


def _quality(found: Findings, words: dict[str, str]) -> str:
    totals = found.totals()
    if not totals:
        return f"<p>{escape(words['none'])}</p>"
    records = [(site, (count,)) for site, count in sorted(totals["records"].items())]
    pairs = sorted({*totals["matches"], *totals["possible"]})
    rows = [(pair, people(totals["matches"][pair]), people(totals["possible"][pair])) for pair in pairs]
    # A chart has one bar per pair; what is withheld in the table is withheld here as well.
    shown = [
        (pair, tuple(0 if 0 < totals[kind][pair] < SMALL else totals[kind][pair] for kind in ("matches", "possible")))
        for pair in pairs
    ]
    history = "" if len(found.runs) < 2 else f"<figure>{_history(found, words)}</figure>"
    return (
        f"<figure>{charts.bars(words['records'], records, (words['records'],))}</figure>"
        f"<figure>{charts.bars(words['pairs'], shown, (words['matches'], words['possible']))}</figure>"
        + history
        + _table(words["pairs_head"], rows, words)
        + f"<p>{escape(words['small'])}</p>"
    )


def _reidentified(found: Findings, words: dict[str, str]) -> str:
    def row(ident: str, one: Reidentification) -> tuple[str, ...]:
        end = f"{words['denied']}: {one.denied_by}" if one.denied_by else ", ".join(one.approved_by) or words["open"]
        gone = words["deleted"].format(years=one.deleted) if one.deleted else words["statement"]
        reason = one.reason or f"{gone} {one.statement}"
        return (one.time, one.site, one.domain, f"{one.count:,}", reason, end, f"{one.originals:,}")

    rows = [row(ident, one) for ident, one in found.reidentifications.items()]
    return _table(words["reidentifications_head"], rows, words)


def _history(found: Findings, words: dict[str, str]) -> str:
    """Matches and possible matches of each run."""
    rows = []
    for run in found.runs:
        pairs = run.get("pairs", [])
        counts = tuple(sum(int(pair[kind]) for pair in pairs) for kind in ("matches", "possible"))
        rows.append((f"{run['time'][:10]} ({run.get('window', '')})", tuple(0 if n < SMALL else n for n in counts)))
    return charts.bars(words["history"], rows, (words["matches"], words["possible"]))


def _disclosed(found: Findings, words: dict[str, str]) -> str:
    rows = [
        (
            one.time,
            one.who,
            one.run,
            one.reason or f"{words['statement']} {one.statement}",
            one.approved_by or words["open"],
            f"{one.read:,}",
        )
        for one in found.disclosures.values()
    ]
    return _table(words["disclosures_head"], rows, words)


def _deleted(found: Findings, words: dict[str, str]) -> str:
    rows = [
        (one.detail_of, str(one.years), one.before, f"{one.entries:,}", f"{one.details:,}")
        for log in found.logs
        for one in log.deletions
    ]
    return _table(words["retention_head"], rows, words)


def _refusals(found: Findings, words: dict[str, str]) -> str:
    rows = [(event, code, f"{count:,}") for (event, code), count in sorted(found.refusals.items())]
    return _table(words["refusals_head"], rows, words)


def _table(head: str, rows: Iterable[Sequence[Any]], words: dict[str, str]) -> str:
    """A table; the heads of its columns are parted by |."""
    cells = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    if not cells:
        return f"<p>{escape(words['none'])}</p>"
    top = "".join(f"<th>{escape(name)}</th>" for name in head.split("|")) if head else ""
    return f"<table><thead><tr>{top}</tr></thead><tbody>{cells}</tbody></table>"

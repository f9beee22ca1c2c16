"""The report: every number on the page is one of the log, in both languages; there is none of a broken log."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zipfile
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests_support import run_cli

from trustcenter.audit import AuditLog, Event, fingerprint
from trustcenter.audit.retention import DETAILS
from trustcenter.client.logs.audit_event_words import ACTIONS, OBJECTS
from trustcenter.client.logs.audit_findings import collect
from trustcenter.client.logs.audit_report import page
from trustcenter.client.logs.audit_words import WORDS
from trustcenter.errors import BundleError

MakeLog = Callable[..., AuditLog]
STATEMENT = "trustcenter/reidentification/1\nreason: incidental finding, case 12 <b>\npseudonyms: 2\n"

DISCLOSURE = "trustcenter/linkage-disclosure/1\nreason: complaint 12\nto: clara\n"


class Text(HTMLParser):
    """Cells, headings and whatever the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.heads: list[str] = []
        self.loads: list[str] = []
        self._into: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = self._into if tag in ("b", "small", "span") else None
        self._into = {"td": self.cells, "h2": self.heads}.get(tag, kept)
        if self._into is not None and tag in ("td", "h2"):
            self._into.append("")
        names = {name for name, _ in attrs}
        if tag in ("script", "link", "img", "iframe", "object") or names & {"src", "href", "onload", "onclick"}:
            self.loads.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._into = self._into if tag in ("b", "small", "span") else None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into[-1] += data


@pytest.fixture
def bundle(make_log: MakeLog, connection: sqlite3.Connection, tmp_path: Path) -> tuple[Path, str]:
    """A log with two studies in it."""
    log = make_log()

    def add(event: Event, who: str, **data: Any) -> None:
        log.append(connection, event, {"who": who, **data})

    for study in ("hips", "knees"):
        add(
            Event.STUDY_CREATE, "anna", study=study, schema="kh", fingerprint="ab" * 32, sites=["nord", "sued"],
            recipients=[{"name": "dms", "key": "1234"}], separation="process", purpose="Hüften <i>", permit="EK 7",
        )  # fmt: skip
    for site, count in (("nord", 120), ("sued", 35)):
        add(Event.PSEUDONYM_ISSUE, site, domain=f"hips.{site}", count=count)
        add(Event.RECORD_REGISTER, site, study="hips", count=count, created=count - 5)
    add(Event.PSEUDONYM_ISSUE, "nord", domain="knees.nord", count=7777)
    add(
        Event.RUN_APPLY, "service", study="hips", run="q", window=0, parameters="cd" * 32, edges=50, persons=150,
        pairs=[{"sites": ["nord", "sued"], "matches": 61, "possible": 2}],
    )  # fmt: skip
    add(
        Event.RUN_APPLY, "service", study="hips", run="r", window=1, parameters="cd" * 32, edges=99, persons=141,
        sources=[{"site": "nord", "records": 120}, {"site": "sued", "records": 35}],
        pairs=[{"sites": ["nord", "sued"], "matches": 14, "possible": 3}], thresholds_ppm=[50_000, 950_000],
    )  # fmt: skip
    digest = hashlib.sha256(STATEMENT.encode()).hexdigest()
    add(
        Event.REIDENTIFY_REQUEST, "nord", domain="hips.nord", reidentification="t1", count=2, statement=digest
    )  # fmt: skip
    for who in ("bert", "cleo"):
        add(Event.REIDENTIFY_APPROVE, who, reidentification="t1")
    for _ in range(2):
        add(Event.PSEUDONYM_REIDENTIFY, "nord", domain="hips.nord", reidentification="t1", commitment="ee")
    add(Event.REIDENTIFY_REQUEST, "sued", domain="hips.sued", reidentification="t2", count=1, statement="ff")
    add(Event.REIDENTIFY_DENY, "bert", reidentification="t2")
    asked = hashlib.sha256(DISCLOSURE.encode()).hexdigest()
    add(Event.LINKAGE_PROPOSE, "clara", study="hips", run="r", disclosure="d1", statement=asked)
    add(Event.LINKAGE_APPROVE, "bert", study="hips", run="r", disclosure="d1")
    for _ in range(2):
        add(Event.LINKAGE_EXPORT, "clara", study="hips", run="r", disclosure="d1")
    for _ in range(3):
        add(Event.PSEUDONYM_REFUSED, "sued", domain="hips.sued", code="consent_missing")
    add(Event.KEY_CREATE, "anna", domain="hips.nord", purpose="pseudonym", version=2)
    add(Event.PSEUDONYM_DELETE, "nord", domain="hips.nord", count=4)
    path = tmp_path / "registrar.ndjson"
    path.write_bytes(b"".join(log.export(connection)))
    return path, fingerprint(log.vkey)


def read(text: str) -> Text:
    parsed = Text()
    parsed.feed(text)
    return parsed


@pytest.mark.parametrize("language", ["en", "de"])
def test_numbers_of_the_page_are_those_of_the_log(bundle: tuple[Path, str], language: str) -> None:
    path, mark = bundle
    found = collect([path], [mark], study="hips")
    statements = [{"statement": text} for text in (STATEMENT, STATEMENT + "x", DISCLOSURE)]
    assert found.give_reasons(statements) == 2
    parsed = read(page(found, language))
    words = WORDS[language]
    assert parsed.loads == []
    assert parsed.heads[:4] == [words[word] for word in ("verified", "purpose", "parties", "separation")]
    rows = "\n".join(parsed.cells)
    for cell in ("Hüften <i>", "EK 7", "120", "35", "115", "30", "141", "14", "0.05 – 0.95", "bert, cleo"):
        assert cell in parsed.cells, cell
    assert "incidental finding, case 12 <b>" in parsed.cells
    assert {"clara", "complaint 12", "2"} <= set(parsed.cells)
    html = page(found, language)
    assert f"<title>{words['history']}</title>" in html
    assert "61 | 0</text>" in html  # the earlier run is drawn; of its two possible matches nothing is told
    assert f"{words['denied']}: bert" in parsed.cells
    assert "<5" in parsed.cells, "three possible matches are too few to be told"
    assert "consent_missing" in parsed.cells
    many = "7.777" if language == "de" else "7,777"
    assert many not in rows, "of another study"
    deleted = "Pseudonym: gelöscht" if language == "de" else "pseudonym: deleted"
    assert f"{deleted} site:pseudonym:delete" in parsed.cells
    other = read(page(collect([path], study="knees"), language))
    assert many in other.cells
    assert "141" not in other.cells
    assert words["unchecked"] in page(collect([path], study="knees"), language)


def test_both_languages_have_the_same_words() -> None:
    assert WORDS["de"].keys() == WORDS["en"].keys()
    for word, text in WORDS["en"].items():
        assert WORDS["de"][word].count("|") == text.count("|"), word


def test_everything_that_a_report_names_has_words_in_both_languages() -> None:
    assert OBJECTS["de"].keys() == OBJECTS["en"].keys()
    assert ACTIONS["de"].keys() == ACTIONS["en"].keys()
    for event in (event.value for event in Event):
        _, kind, action = event.split(":")
        if kind in ("release", "key") or action == "refused" or event in DETAILS or event == "operator:domain:close":
            assert kind in OBJECTS["de"], event
            assert action in ACTIONS["de"], event


def test_refusals_are_told_with_code_and_number_however_they_were_logged(
    make_log: MakeLog, connection: sqlite3.Connection, tmp_path: Path
) -> None:
    log = make_log()
    for event, fields in (
        (Event.SITE_REFUSED, {"who": "nord", "reason": "unknown_domain", "count": 1}),
        (Event.SITE_REFUSED, {"who": "nord", "reason": "unknown_domain", "count": 40}),
        (Event.REIDENTIFY_REFUSED, {"who": "nord", "code": "ticket_over", "count": 3}),
        (Event.PSEUDONYM_REFUSED, {"who": "sued", "domain": "sued", "consent": {"missing": 2, "withdrawn": 1}}),
    ):
        log.append(connection, event, fields)
    path = tmp_path / "log.ndjson"
    path.write_bytes(b"".join(log.export(connection)))
    assert collect([path]).refusals == {
        ("site:request:refused", "nord", "unknown_domain"): 41,
        ("site:reidentification:refused", "nord", "ticket_over"): 3,
        ("site:pseudonym:refused", "sued", "consent_missing"): 2,
        ("site:pseudonym:refused", "sued", "consent_withdrawn"): 1,
    }


def test_a_period_leaves_out_what_was_before_and_after(bundle: tuple[Path, str]) -> None:
    path, mark = bundle
    times = [json.loads(line)["leaf"]["time"] for line in path.read_bytes().splitlines()[1:-1]]
    whole = collect([path], [mark])
    part = collect([path], [mark], since=times[2], until=times[4])
    assert sum(whole.events.values()) == len(times)
    assert sum(part.events.values()) == 2
    assert part.issued == {"nord": 120}
    assert not part.created


def test_the_program_writes_the_page_and_none_of_a_broken_log(bundle: tuple[Path, str], tmp_path: Path) -> None:
    path, mark = bundle
    reasons, target = tmp_path / "reasons.json", tmp_path / "hips.html"
    reasons.write_text(json.dumps([{"reidentification": "t1", "statement": STATEMENT}]))
    arguments = ["audit", "report", path, "--study", "hips", "--key", mark, "--language", "de", "--reasons", reasons]
    ended = run_cli(*map(str, arguments), "-o", target)
    assert ended.returncode == 0, ended.stderr
    assert "1 reasons fit" in ended.stderr
    assert "wrote the page" in ended.stderr
    assert "Trennung der Räume" in read(target.read_text()).heads
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(BundleError):
        collect([path])
    broken = run_cli(*map(str, arguments), "-o", tmp_path / "none.html")
    assert broken.returncode == 3
    assert not (tmp_path / "none.html").exists()


def test_an_archive_brings_its_reasons_and_rules_say_why_others_are_missing(
    make_log: MakeLog, connection: sqlite3.Connection, clock: Any, tmp_path: Path
) -> None:
    log = make_log()
    texts = {name: f"trustcenter/reidentify/1\nreason: {name}\n" for name in ("old", "new")}

    def ask(name: str) -> None:
        digest = hashlib.sha256(texts[name].encode()).hexdigest()
        told = {"who": "nord", "domain": "nord", "reidentification": name, "count": 1, "statement": digest}
        log.append(connection, Event.REIDENTIFY_REQUEST, told)

    ask("old")
    kind = "site:reidentification:request"
    log.append(connection, Event.RETENTION_SET, {"who": "olga", "detail_of": kind, "years": 1})
    clock.now = clock.now.replace(year=clock.now.year + 1, month=12)
    ask("new")
    before = f"{clock.now.year - 1}-12-01"
    gone = {"detail_of": kind, "years": 1, "since": "", "before": before, "entries": 1, "details": 1}
    log.append(connection, Event.DETAIL_DELETE, {"who": "olga", **gone})
    path = tmp_path / "log.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("log.ndjson", b"".join(log.export(connection)))
        archive.writestr(
            "statements.ndjson", json.dumps({"event": kind, "ident": "new", "statement": texts["new"]}) + "\n"
        )
    found = collect([path])
    assert (found.reidentifications["new"].reason, found.reidentifications["old"].reason) == ("new", "")
    cells = read(page(found, "en")).cells
    assert "new" in cells
    assert any(cell.startswith("deleted by rule after 1 years") for cell in cells)
    assert [f"re-identification: requested {kind}", "1", before, "1", "1"] == cells[-5:]
    assert cells[-8:-5] == ["1", "olga", "–"]  # the rule, which one person could set when it was set

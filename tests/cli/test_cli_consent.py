"""`trustcenter consent` against the live service: policies, send, query, withdraw; CSV and FHIR; domain and study."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests_support import YEAR, ok

Cli = Callable[..., Any]
NAMES = ("Müller", "Kowalski", "Zander", "Yildiz", "Brandt")
SYSTEM = "urn:oid:2.16.840.1.113883.3.1937.777.24.5.3"


@dataclass
class Places:
    base: Path
    operator: tuple[str, Path]
    north: tuple[str, Path]


@pytest.fixture(scope="module")
def places(live: Any, tmp_path_factory: pytest.TempPathFactory) -> Places:
    base = tmp_path_factory.mktemp("consent")
    operator = ("--connect", live.operator)
    for site in ("north", "south"):
        ok("site", "add", site, *operator)
        ok("site", "token", site, "-o", base / f"{site}.toml", *operator)
    ok("domain", "create", "research", "--site", "north", "--consent", "3", "--consent", "MDAT_erheben", *operator)
    ok("domain", "create", "plain", "--site", "north", *operator)
    return Places(base, operator, ("--connect", base / "north.toml"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_policies_need_no_service(cli: Cli) -> None:
    listed = cli("consent", "policies", "--json").json
    assert len(listed) == 124
    assert listed[5] == {
        "number": 6,
        "code": "2.16.840.1.113883.3.1937.777.24.5.3.6",
        "name": "MDAT_erheben",
        "display": "MDAT erheben",
        "parent": 1,
        "years": 5,
    }
    shown = cli("consent", "policies")
    assert "MDAT_erheben" in shown.out
    assert "Medizininformatik-Initiative" in shown.err


def test_from_csv_to_the_answer_and_back(cli: Cli, places: Places, tmp_path: Path) -> None:
    consents = write(
        tmp_path / "consents.csv",
        "PID;date;policy;permit;from;until;document\n"
        f"4711;{YEAR}-05-01;3;permit;;;1.6d\n"
        f"4711;{YEAR}-05-01;6;yes;;;1.6d\n"
        f"4712;{YEAR}-05-01;IDAT_speichern_verarbeiten;ja;;;\n"
        "\n"
        f"4712;{YEAR}-05-01;6;deny;;;\n"
        f"Mustermann;{YEAR}-13-01;3;permit;;;\n"
        f"4713;{YEAR}-05-01;3;permit;;{YEAR}-06-01;\n"
        f"4713;{YEAR}-05-01;6;permit;;;\n",
    )
    domain = ("--domain", "research", *places.north)
    sent = cli("consent", "send", consents, "--column", "pid", "--json", *domain)
    assert sent.code == 1
    assert "row 6: invalid_date" in sent.err
    assert "Mustermann" not in sent.err + sent.out
    told = sent.json
    assert (told["items"], told["permitted"], told["withdrawn"], told["expired"]) == (4, 1, 1, 1)
    assert told["failed"] == [{"row": 6, "code": "invalid_date"}]

    ids = write(tmp_path / "ids.csv", "pid,note\n4711,a\n4712,b\n4713,c\n4714,d\n")
    psn = tmp_path / "psn.csv"
    refused = cli("pseudonymize", ids, "--column", "pid", "--domain", "research", "-o", psn, *places.north)
    assert refused.code == 1
    for line in ("row 2: consent_withdrawn", "row 3: consent_expired", "row 4: consent_missing"):
        assert line in refused.err
    one = write(tmp_path / "one.csv", "pid\n4711\n")
    assert cli("pseudonymize", one, "--column", "pid", "--domain", "research", "-o", psn, *places.north).code == 0
    pseudonym = rows(psn)[0]["pid"]

    status = tmp_path / "status.csv"
    assert cli("consent", "query", ids, "--column", "pid", "-o", status, *domain).code == 0
    answers = rows(status)
    assert [(row["pid"], row["consent"], row["status"]) for row in answers] == [
        ("4711", "permitted", "permitted"),
        ("4711", "permitted", "permitted"),
        ("4712", "withdrawn", "permitted"),
        ("4712", "withdrawn", "withdrawn"),
        ("4713", "expired", "expired"),
        ("4713", "expired", "permitted"),
        ("4714", "missing", "missing"),
        ("4714", "missing", "missing"),
    ]
    assert (answers[1]["name"], answers[1]["since"], answers[1]["until"]) == (
        "MDAT_erheben",
        f"{YEAR}-05-01",
        f"{YEAR + 5}-04-30",
    )
    by_pseudonym = tmp_path / "by-pseudonym.csv"
    assert cli("consent", "query", psn, "--column", "pid", "--pseudonyms", "-o", by_pseudonym, *domain).code == 0
    assert [row["consent"] for row in rows(by_pseudonym)] == ["permitted", "permitted"]
    assert rows(by_pseudonym)[0]["pid"] == pseudonym

    gone = cli("consent", "withdraw", one, "--column", "pid", "--date", f"{YEAR}-07-01", "--json", *domain)
    assert gone.code == 0
    assert (gone.json["newly_withdrawn"], gone.json["removed"]) == (1, 1)
    after = cli("consent", "query", psn, "--column", "pid", "--pseudonyms", "-o", by_pseudonym, "--force", *domain)
    assert after.code == 1
    assert "row 1: unknown_pseudonym" in after.err


def test_some_policies_only(cli: Cli, places: Places, tmp_path: Path) -> None:
    domain = ("--domain", "research", *places.north)
    consents = write(tmp_path / "c.csv", f"pid,date,policy\n1,{YEAR}-05-01,3\n1,{YEAR}-05-01,6\n1,{YEAR}-05-01,19\n")
    assert cli("consent", "send", consents, "--column", "pid", *domain).code == 0
    ids = write(tmp_path / "ids.csv", "pid\n1\n")
    withdraw = ("consent", "withdraw", ids, "--column", "pid", "--date", f"{YEAR}-06-01", "--json", *domain)
    assert cli(*withdraw, "--policy", "19").json["permitted"] == 1
    status = tmp_path / "status.csv"
    assert cli("consent", "query", ids, "--column", "pid", "--all", "-o", status, *domain).code == 0
    assert [(row["policy"].rpartition(".")[2], row["status"]) for row in rows(status)] == [
        ("3", "permitted"),
        ("6", "permitted"),
        ("19", "withdrawn"),
    ]
    assert cli(*withdraw, "--policy", "1").json["newly_withdrawn"] == 1


def resource(reference: str, code: str = "3", **change: Any) -> dict[str, Any]:
    permits = [
        {"type": "permit", "code": [{"coding": [{"system": SYSTEM, "code": f"{SYSTEM[8:]}.{number}"}]}]}
        for number in (code, "6")
    ]
    return {
        "resourceType": "Consent",
        "id": "c1",
        "text": {"status": "generated", "div": "<div>Max Mustermann</div>"},
        "status": "active",
        "patient": {"reference": f"Patient/{reference}", "display": "Max Mustermann"},
        "dateTime": f"{YEAR}-05-01",
        "sourceAttachment": {"data": "TWF4IE11c3Rlcm1hbm4="},
        "provision": {"type": "deny", "provision": permits},
        **change,
    }


def test_fhir_leaves_names_at_the_site(cli: Cli, places: Places, tmp_path: Path, live: Any) -> None:
    lines = [
        resource("f1"),
        resource("f2", status="rejected"),
        resource("f3", status="draft"),
        resource("Mustermann", patient={"display": "Mustermann"}),
    ]
    text = "\n".join(map(json.dumps, lines)) + "\n\n{\n"
    source = write(tmp_path / "consents.ndjson", text)
    domain = ("--domain", "research", *places.north)
    sent = cli("consent", "send", source, "--fhir", "--patient", "reference", "--json", *domain)
    assert sent.code == 1
    assert sent.json["failed"] == [
        {"row": 3, "code": "consent_not_in_force"},
        {"row": 4, "code": "consent_without_patient"},
        {"row": 6, "code": "malformed_consent"},
    ]
    assert (sent.json["items"], sent.json["permitted"], sent.json["withdrawn"]) == (5, 1, 1)
    assert "Mustermann" not in sent.err + sent.out
    without = cli("consent", "send", source, "--fhir", "--json", *domain)
    assert [one["code"] for one in without.json["failed"][:2]] == ["consent_without_patient"] * 2
    for path in (live.dir / "registrar").iterdir():
        content = path.read_bytes()
        assert b"Mustermann" not in content
        assert b"Patient/f1" not in content


def test_a_study_by_record_numbers(cli: Cli, places: Places, tmp_path: Path) -> None:
    public = ok("recipient", "keygen", "-o", tmp_path / "dms.key", "--no-passphrase").strip()
    ok(
        *("study", "create", "sepsis", "--purpose", "p", "--permit", "p", "--site", "north", "--site", "south"),
        *("--recipient", f"dms={public}", "--consent", "4", "--minimum-batch", "2", *places.operator),
    )
    key = tmp_path / "site.key"
    ok("linkage", "secret", "--site-key", "-o", key)
    ok("linkage", "secret", "--study", "sepsis", "-o", tmp_path / "study.secret")
    shown = cli("study", "show", "sepsis", "--json", *places.north).json
    assert shown["consent"] == [f"{SYSTEM[8:]}.4"]
    study = ("--study", "sepsis", "--site-key", key, *places.north)
    patients = write(
        tmp_path / "patients.csv",
        "id,surname,given_name,birth_date,postcode\n"
        + "".join(
            f"{n},{name},{name[::-1].title()},19{50 + n}-0{n + 1}-1{n},{n}410{n}\n" for n, name in enumerate(NAMES)
        ),
    )
    consents = write(tmp_path / "c.csv", "id,date,policy\n" + "".join(f"{n},{YEAR}-05-01,4\n" for n in range(3)))
    sent = cli("consent", "send", consents, "--column", "id", "--json", *study)
    assert sent.json["permitted"] == 3

    out = tmp_path / "registered.csv"
    own = ("--id-column", "id", "--site-key", key)
    registered = cli("study", "register", "sepsis", patients, *own, "-o", out, "--json", *places.north)
    assert (registered.code, registered.json) == (0, {"study": "sepsis", "records": 3, "without_consent": 2})
    assert [row["id"] for row in rows(out)] == ["0", "1", "2"]
    upload = ("study", "upload", "sepsis", patients, *own, "--study-secret", tmp_path / "study.secret", *places.north)
    uploaded = cli(*upload, "--json")
    assert uploaded.code == 0, uploaded.err
    assert "2 records left out: no consent for this study, or withdrawn" in uploaded.err
    assert (uploaded.json["records"], uploaded.json["sent"], uploaded.json["without_consent"]) == (5, 3, 2)

    status = tmp_path / "status.csv"
    assert cli("consent", "query", patients, "--column", "id", "-o", status, *study).code == 0
    assert [row["consent"] for row in rows(status)] == ["permitted"] * 3 + ["missing"] * 2
    one = write(tmp_path / "one.csv", "id\n1\n")
    gone = cli("consent", "withdraw", one, "--column", "id", "--date", f"{YEAR}-06-01", "--json", *study)
    assert (gone.json["newly_withdrawn"], gone.json["removed"]) == (1, 1)
    again = cli(*upload, "--json")
    assert again.code == 0, again.err
    assert (again.json["sent"], again.json["without_consent"]) == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("send", "c.csv", "--column", "pid"), "usage"),
        (("send", "c.csv", "--domain", "research"), "usage"),
        (("send", "c.csv", "--column", "pid", "--fhir", "--domain", "research"), "usage"),
        (("send", "c.csv", "--column", "pid", "--study", "sepsis"), "usage"),
        (("send", "c.csv", "--column", "Max", "--domain", "research"), "unknown_column"),
        (("send", "missing.csv", "--column", "pid", "--domain", "research"), "no_input"),
        (("send", "empty.csv", "--column", "pid", "--domain", "research"), "empty_file"),
        (("send", "permit.csv", "--column", "pid", "--domain", "research"), "bad_permit"),
        (("send", "ragged.csv", "--column", "pid", "--domain", "research"), "bad_row"),
        (("send", "quote.csv", "--column", "pid", "--domain", "research"), "bad_row"),
        (("send", "latin.csv", "--column", "pid", "--domain", "research"), "not_utf8"),
        (("send", "c.csv", "--column", "pid", "--domain", "plain"), "consent_not_required"),
        (("send", "c.csv", "--column", "pid", "--domain", "nowhere"), "unknown_domain"),
        (("query", "c.csv", "--column", "pid", "--domain", "research", "-o", "c.csv"), "same_file"),
    ],
)
def test_commands_that_cannot_be(
    cli: Cli, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: str
) -> None:
    monkeypatch.chdir(tmp_path)
    head = "pid,date,policy,permit\n"
    write(Path("c.csv"), head + f"1,{YEAR}-05-01,3,yes\n")
    write(Path("empty.csv"), "")
    write(Path("permit.csv"), head + f"1,{YEAR}-05-01,3,perhaps\n")
    write(Path("ragged.csv"), head + f"1,{YEAR}-05-01\n")
    write(Path("quote.csv"), head + f'1,{YEAR}-05-01,3,"y\n')
    Path("latin.csv").write_bytes(head.encode() + f"Müller,{YEAR}-05-01,3,yes\n".encode("latin-1"))
    done = cli("consent", *arguments, *places.north)
    assert done.code in (1, 4)
    assert f"[{code}]" in done.err, done.err
    assert "perhaps" not in done.err


def test_an_unknown_policy_is_no_requirement(cli: Cli, places: Places) -> None:
    done = cli("domain", "create", "other", "--site", "north", "--consent", "Mustermann", *places.operator)
    assert done.code == 1
    assert "[unknown_policy]" in done.err
    assert "Mustermann" not in done.err

"""There and back with every form of file: pseudonymised, rotated, translated, re-identified on a ticket."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
PATIENT = {
    "resourceType": "Patient",
    "id": "pat-4711",
    "identifier": [{"system": "https://h.example/mr", "value": "4711"}],
    "gender": "female",
}
OBSERVATION = {
    "resourceType": "Observation",
    "id": "obs-1",
    "status": "final",
    "subject": {"reference": "Patient/pat-4711"},
    "encounter": {"reference": "Encounter/enc-1"},
}


@pytest.fixture
def house(live: Any, cli: Cli, tmp_path: Path) -> Path:
    """A site with two domains, an approver, and three files that speak of the same patient."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    operator = ("--connect", live.operator)

    def ok(*arguments: Any) -> str:
        done = cli(*arguments)
        assert done.code == 0, done.err
        return str(done.out)

    ok("site", "add", "north", *operator)
    ok("site", "token", "north", "-o", tmp_path / "north.toml", *operator)
    for name in ("north", "cases"):
        ok("domain", "create", name, "--site", "north", *operator)
    public = ok("staff", "keygen", "-o", tmp_path / "anna.key", "--no-passphrase").strip()
    ok(
        *("staff", "add", "anna", "--role", "approver", "--public-key", public, "-o", tmp_path / "anna.toml"),
        *operator,
    )
    (tmp_path / "in.csv").write_bytes('pid;"näme"\r\n"4711";"ä ""x"""\r\n4712;\r\n'.encode("utf-16"))
    pq.write_table(pa.table({"pid": ["4711", "4712"], "x": [1, 2]}), tmp_path / "in.parquet")
    (tmp_path / "in.ndjson").write_text(f"{json.dumps(PATIENT)}\n{json.dumps(OBSERVATION)}\n")
    return tmp_path


def test_there_and_back(live: Any, cli: Cli, house: Path) -> None:
    connect = ("--connect", house / "north.toml")
    fhir = ("--fhir", "--domain-for", "Encounter=cases")
    forms: dict[str, tuple[Any, ...]] = {
        "csv": ("--column", "pid"),
        "parquet": ("--column", "pid"),
        "ndjson": fhir,
    }

    def step(verb: tuple[Any, ...], before: str, after: str, form: str, *more: Any) -> None:
        target = house / f"{after}.{form}"
        done = cli(*verb, house / f"{before}.{form}", *forms[form], *more, "-o", target, *connect)
        assert done.code == 0, done.err
        assert "4711" not in done.err + done.out

    for form in forms:
        more = ("--identifier-system", "https://h.example/mr") if form == "ndjson" else ()
        step(("pseudonymize",), "in", "psn", form, "--domain", "north", *more)
    for domain in ("north", "cases"):
        done = cli("keys", "rotate", domain, "--yes", "--connect", live.operator)
        assert done.code == 0, done.err
    for form in forms:
        step(("translate",), "psn", "new", form, "--domain", "north")
        assert (house / f"new.{form}").read_bytes() != (house / f"psn.{form}").read_bytes()
        made = cli(
            *("reidentify", "request", house / f"new.{form}", *forms[form], "--domain", "north", "--reason", "r"),
            *("--json", *connect),
        )
        assert made.code == 0, made.err
        ident = made.json["reidentification"]
        refused = cli("reidentify", "fetch", ident, house / f"new.{form}", *forms[form], "-o", house / "no", *connect)
        assert (refused.code, (house / "no").exists()) == (4, False)
        signed = cli(
            *("reidentify", "approve", ident, "--personal-key", house / "anna.key", "--yes"),
            *("--connect", house / "anna.toml"),
        )
        assert signed.code == 0, signed.err
        step(("reidentify", "fetch", ident), "new", "back", form)
    assert (house / "back.csv").read_bytes() == (house / "in.csv").read_bytes(), "quotes, charset and line ends too"
    import pyarrow.parquet as pq

    assert pq.read_table(house / "back.parquet").equals(pq.read_table(house / "in.parquet"))
    patient, observation = (json.loads(line) for line in (house / "back.ndjson").read_text().splitlines())
    assert (patient["id"], patient["identifier"]) == ("pat-4711", [{"value": "4711"}])
    assert observation["subject"] == {"reference": "Patient/pat-4711"}
    assert observation["encounter"]["reference"] not in ("Encounter/enc-1", ""), "another domain, not in the ticket"

"""Grants, tokens for a part, and files from one domain into another, on the command line against the real service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests_support import ok

from trustcenter.cli.options import OPERATIONS
from trustcenter.client import Connection
from trustcenter.messages.api import Operation

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def who(live: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, Path]]:
    """Connections: of the operator and of two sites."""
    base = tmp_path_factory.mktemp("sites")
    operator = ("--connect", live.operator)
    for name in ("north", "south"):
        ok("site", "add", name, *operator)
        ok("site", "token", name, "-o", base / f"{name}.toml", *operator)
    for domain in ("lab", "study7"):
        ok("domain", "create", domain, "--site", "north", *operator)
    ok("domain", "create", "theirs", "--site", "south", *operator)
    return {"operator": operator, **{name: ("--connect", base / f"{name}.toml") for name in ("north", "south")}}


@pytest.fixture
def lab(who: Any, tmp_path: Path) -> Path:
    """Three rows of pseudonyms of the domain lab; originals p-1 and p-2 are known to study7."""
    source, target = tmp_path / "source.csv", tmp_path / "lab.csv"
    for name, count in (("study7", 2), ("lab", 3)):
        source.write_text("pid,value\n" + "".join(f"p-{n},{n}\n" for n in range(1, count + 1)))
        ok("pseudonymize", source, "--column", "pid", "--domain", name, "-o", target, "--force", *who["north"])
    return target


def column(path: Path) -> list[str]:
    return [line.split(",")[0] for line in path.read_text().splitlines()[1:]]


def test_the_words_of_the_options_are_those_of_the_service() -> None:
    assert tuple(Operation) == OPERATIONS


def test_a_connection_file_names_the_address_that_its_holder_uses(cli: Cli, who: Any, tmp_path: Path) -> None:
    token = ("site", "token", "south", *who["operator"])
    own = cli(*token, "-o", tmp_path / "own.toml")
    assert Connection.load(tmp_path / "own.toml").url == Connection.load(who["operator"][1]).url
    assert "--url" in own.err  # 127.0.0.1 is of no use elsewhere
    other = cli(*token, "-o", tmp_path / "other.toml", "--url", "https://tc.example.org:8443")
    assert Connection.load(tmp_path / "other.toml").url == "https://tc.example.org:8443"
    assert "--url" not in other.err
    before = cli(*token, "--list", "--json").json
    for url in ("https://", "http://tc.example.org", "tc.example.org:8443", "https://anna:secret@tc.example.org"):
        assert cli(*token, "-o", tmp_path / "wrong.toml", "--url", url).code == 1
    assert cli(*token, "--url", "https://tc.example.org").code == 1
    assert cli(*token, "--list", "--json").json == before  # refused before a token was made


def test_a_grant_is_given_shown_and_taken_back(cli: Cli, who: Any, lab: Path, tmp_path: Path) -> None:
    assert cli("domain", "show", "lab", *who["south"]).code == 1
    given = ("domain", "grant", "lab", "south", "--operation", "get", "--operation", "validate")
    expected = [{"site": "south", "operations": ["get", "validate"]}]
    assert cli(*given, "--json", *who["operator"]).json == expected
    for owner in ("operator", "north"):
        assert cli("domain", "grants", "lab", "--json", *who[owner]).json == expected
    assert "get, validate" in cli("domain", "grants", "lab", *who["operator"]).out
    checked = tmp_path / "checked.csv"
    ok("validate", lab, "--column", "pid", "--domain", "lab", "-o", checked, *who["south"])
    assert [line.rsplit(",", 1)[1] for line in checked.read_text().splitlines()[1:]] == ["ok"] * 3
    assert cli("domain", "grants", "lab", *who["south"]).code == 1
    assert cli("domain", "grant", "lab", "south", "--none", "--json", *who["operator"]).json == []
    assert cli("domain", "show", "lab", *who["south"]).code == 1


@pytest.mark.parametrize("arguments", [(), ("--none", "--operation", "get"), ("--operation", "everything")])
def test_a_grant_says_what(cli: Cli, who: Any, arguments: tuple[str, ...]) -> None:
    assert cli("domain", "grant", "lab", "south", *arguments, *who["operator"]).code == 1
    assert cli("domain", "grants", "lab", "--json", *who["operator"]).json == []


def test_nobody_grants_to_himself(cli: Cli, who: Any) -> None:
    refused = cli("domain", "grant", "lab", "south", "--operation", "get", *who["south"])
    assert refused.code == 4
    assert "[not_grantable]" in cli("domain", "grant", "lab", "north", "--operation", "get", *who["operator"]).err


def test_a_token_for_a_part(cli: Cli, who: Any, tmp_path: Path) -> None:
    path = tmp_path / "part.toml"
    part = ("--only-domain", "lab", "--only-operation", "issue", "--only-operation", "get")
    ok("site", "token", "north", *part, "-o", path, *who["operator"])
    listed = cli("site", "token", "north", "--list", "--json", *who["operator"]).json
    scopes = [(token["domains"], token["operations"]) for token in listed]
    assert sorted(scopes, key=str) == [(None, None), (["lab"], ["get", "issue"])]

    source = tmp_path / "in.csv"
    source.write_text("pid\nq-1\n")
    job = ("pseudonymize", source, "--column", "pid", "-o", tmp_path / "out.csv", "--connect", path)
    assert "[unknown_domain]" in cli(*job, "--domain", "study7").err
    assert cli(*job, "--domain", "lab").code == 0
    check = ("validate", tmp_path / "out.csv", "--column", "pid", "--domain", "lab", "-o", tmp_path / "x.csv")
    refused = cli(*check, "--connect", path)
    assert (refused.code, "[not_granted]" in refused.err) == (4, True)
    for wrong in (("--list",), ("--revoke", "0" * 16)):
        assert cli("site", "token", "north", *part, *wrong, *who["operator"]).code == 1


def test_a_file_goes_into_another_domain(cli: Cli, who: Any, lab: Path, tmp_path: Path) -> None:
    target, aside = tmp_path / "study7.csv", tmp_path / "aside.csv"
    job = ("translate", lab, "--column", "pid", "--domain", "lab", "--into-domain", "study7", *who["north"])
    refused = cli(*job, "-o", target)
    assert (refused.code, target.exists()) == (1, False)
    assert "row 3: unknown_original" in refused.err
    some = cli(*job, "-o", target, "--skip-failed", aside, "--json").json
    assert (some["rows"], some["failures"], some["created"]) == (3, 1, 0)
    assert len(column(target)) == 2
    whole = cli(*job, "--create", "-o", target, "--force", "--json").json
    assert (whole["rows"], whole["failures"], whole["created"]) == (3, 0, 1)

    source, direct = tmp_path / "originals.csv", tmp_path / "direct.csv"
    source.write_text("pid,value\np-1,1\np-2,2\np-3,3\n")
    ok("pseudonymize", source, "--column", "pid", "--domain", "study7", "--existing", "-o", direct, *who["north"])
    assert target.read_text() == direct.read_text()
    assert not set(column(target)) & set(column(lab))
    both = tmp_path / "both.csv"
    ok(*job, "--into", "psn7", "-o", both)
    assert [line.rsplit(",", 1) for line in both.read_text().splitlines()] == [
        [line, new] for line, new in zip(lab.read_text().splitlines(), ["psn7", *column(target)], strict=True)
    ]


def test_a_parquet_file_goes_there_too(cli: Cli, who: Any, lab: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    source, target, text = tmp_path / "lab.parquet", tmp_path / "study7.parquet", tmp_path / "study7.csv"
    pq.write_table(pa.table({"pid": column(lab)}), source)
    job = ("--column", "pid", "--domain", "lab", "--into-domain", "study7", "--create", *who["north"])
    ok("translate", source, "-o", target, *job)
    ok("translate", lab, "-o", text, *job)
    assert pq.read_table(target)["pid"].to_pylist() == column(text)


def test_a_missing_domain_is_named_before_work_starts(cli: Cli, who: Any, lab: Path, tmp_path: Path) -> None:
    for into in ("nowhere", "theirs"):
        job = ("--column", "pid", "--domain", "lab", "--into-domain", into, "-o", tmp_path / "x.csv")
        done = cli("translate", lab, *job, *who["north"])
        assert (done.code, "[unknown_domain]" in done.err) == (1, True)
        assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("in.csv", "--column", "pid", "--create"),
        ("in.ndjson", "--fhir", "--into-domain", "study7"),
        ("--all", "--from-version", "1", "--into-domain", "study7"),
        ("in.csv", "--into-domain", "study7"),
    ],
)
def test_what_does_not_go_together(cli: Cli, who: Any, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = cli("translate", *arguments, "--domain", "lab", "-o", tmp_path / "x.csv", *who["north"])
    assert (done.code, "[usage]" in done.err) == (1, True), done.err

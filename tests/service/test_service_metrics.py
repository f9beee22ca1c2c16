"""/metrics: what it says, to whom, and which labels it has."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from conftest_operate import Center

LINE = re.compile(r'((?:trustcenter|process)_[a-z_]+)(?:\{([a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*)\})? (\d+(?:\.\d+)?)')


def read(text: str) -> dict[str, float]:
    """Sample → value; the format is checked line by line."""
    samples: dict[str, float] = {}
    typed: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            assert name not in typed, "a family twice"
            typed.add(name)
        elif not line.startswith("# HELP "):
            match = LINE.fullmatch(line)
            assert match, line
            assert re.sub(r"_(bucket|sum|count)$", "", match[1]) in typed or match[1] in typed
            assert line.rpartition(" ")[0] not in samples
            samples[line.rpartition(" ")[0]] = float(match[3])
    return samples


def test_work_is_counted_and_nothing_else_is_told(world) -> None:
    operator = world["operator"]
    before = read(operator("GET", "/metrics").body.decode())
    assert world["north"]("POST", "/v1/domains/north/pseudonyms", {"originals": ["m1", "m2", "m1"]}).status == 200
    assert world["north"]("POST", "/v1/domains/secret-name/pseudonyms", {"originals": ["m1"]}).status == 404
    answer = operator("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    after = read(answer.body.decode())

    def grown(sample: str) -> float:
        return after[sample] - before.get(sample, 0)

    assert grown('trustcenter_pseudonyms_issued_total{site="north"}') == 2
    route = 'route="/v1/domains/{domain}/pseudonyms"'
    assert grown(f'trustcenter_requests_total{{{route},site="north",outcome="200"}}') == 1
    assert grown(f'trustcenter_requests_total{{{route},site="north",outcome="404"}}') == 1
    assert grown(f"trustcenter_request_seconds_count{{{route}}}") == 2
    assert (
        after[f'trustcenter_request_seconds_bucket{{{route},le="+Inf"}}']
        == after[f"trustcenter_request_seconds_count{{{route}}}"]
    )
    assert grown("trustcenter_registrar_commits_total") >= 1
    assert after["trustcenter_registrar_operations_total"] >= after["trustcenter_registrar_commits_total"]
    assert grown("trustcenter_registrar_log_entries") >= 1
    assert after['trustcenter_key_age_seconds{site="north"}'] >= 0
    assert after['trustcenter_key_versions{outcome="active"}'] > 3
    labels = {name for sample in after for name in re.findall(r'([a-z]+)="', sample)}
    assert labels <= {"route", "site", "outcome", "le", "version"}
    assert after["process_resident_memory_bytes"] > 2**20
    assert after["trustcenter_certificate_end_timestamp_seconds"] > after["process_start_time_seconds"]
    assert b"secret-name" not in answer.body


def test_pages_alerts_and_dashboard_ask_for_what_there_is(world) -> None:
    told = world["operator"]("GET", "/metrics").body.decode()
    # Of configured continuous backups only; tests/service/test_service_continuous_killed.py sees them.
    there = set(re.findall(r"^# TYPE (\S+)", told, re.M)) | {
        "trustcenter_backup_lag_seconds",
        "trustcenter_backup_failures_total",
    }
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "how-to" / "monitor.md").read_text()
    for text in (page, *((docs / "reference" / name).read_text() for name in ("alerts.yml", "grafana.json"))):
        named = set(re.findall(r"\b((?:trustcenter|process)_[a-z_]+)\b", text))
        assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in named} <= there
    assert there <= set(re.findall(r"`([a-z_]+)`", page)), "a family that the page does not explain"


def test_without_a_token_it_is_closed_even_on_this_machine(world) -> None:
    assert world["nobody"]("GET", "/metrics").status == 401
    assert world["north"]("GET", "/metrics").status == 403


@pytest.mark.parametrize("header", [None, "X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_a_local_scraper_needs_no_token_where_it_is_configured(scraped: Center, header: str | None) -> None:
    status, body = scraped.get("/metrics", {header: "203.0.113.9"} if header else {})
    assert status == (200 if header is None else 401)
    if header is None:
        assert read(body)["trustcenter_registrar_log_entries"] > 0
    assert scraped.get("/v1/domains", {})[0] == 401


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory):
    center = Center(tmp_path_factory.mktemp("scraped"))
    config: Path = center.dir / "config.toml"
    config.write_text(config.read_text() + "\n[metrics]\nloopback = true\n")
    credentials = center.base / "credentials"
    credentials.mkdir()
    # As systemd passes it: in a directory of its own, readable for the service's group.
    shutil.move(center.dir / "passphrase", credentials / "passphrase")
    (credentials / "passphrase").chmod(0o440)
    config.write_text(config.read_text().replace('passphrase = "passphrase"\n', ""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
        with center.running():
            yield center


def test_keys_that_are_overdue_and_rotations_under_way_are_counted(world) -> None:
    operator = world["operator"]
    named = 'trustcenter_rotations{outcome="prepared"}'
    before = read(operator("GET", "/metrics").body.decode())
    assert (before["trustcenter_keys_overdue"], named in before) == (0, False)
    made = operator("POST", "/v1/domains/north/keys/rotate", {"prepare": True}).json
    assert read(operator("GET", "/metrics").body.decode())[named] == 1
    assert operator("POST", f"/v1/rotations/{made['rotation']}/abort").status == 200
    assert named not in read(operator("GET", "/metrics").body.decode())

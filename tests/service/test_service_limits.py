"""Rates, quotas, failures, connections, tokens of staff and the way back in, at a service with narrow limits."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from access_support import Center, Reply, serving
from tests_support import run_cli, seconds_to_midnight, stay_within_a_day

SETTINGS = """
[limits]
requests_per_second = 2.0
request_burst = 40
new_per_day = 50
records_per_day = 30
failures_per_minute = 6
credential_cache = 300.0
refusal_window = 1.0
connections_per_address = 20
"""


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    with serving(tmp_path_factory.mktemp("limits"), SETTINGS) as running:
        for site in ("north", "south", "east", "west"):
            running.add_site(site)
        for name in ("clara", "carl"):
            running.add_staff(name, "auditor")
        yield running


@pytest.fixture(autouse=True)
def _operator_waits(center: Center) -> None:
    """The operator's own requests are limited too: wait for what a test needs."""
    if center.process.poll() is None:
        deadline = time.monotonic() + 60
        while center.ask("operator", "GET", "/v1/sites").status == 429:
            assert time.monotonic() < deadline
            time.sleep(0.5)


def drain(center: Center, who: str, path: str, most: int = 80) -> tuple[int, list[Reply]]:
    """Ask until refused, then five times more; how often it went well, and the refusals."""
    conn, good, refused = center.connect(), 0, []
    try:
        while len(refused) < 6:
            reply = center.ask(who, "GET", path, conn=conn)
            if reply.status == 429:
                refused.append(reply)
            else:
                good += 1
                assert good < most
    finally:
        conn.close()
    return good, refused


def test_a_client_that_asks_too_often_is_told_when_to_come_back(center: Center) -> None:
    started = time.monotonic()
    good, refused = drain(center, "south", "/v1/domains")
    assert 40 <= good <= 40 + 2.0 * (time.monotonic() - started)  # the burst, and what came in meanwhile
    for reply in refused:
        assert (reply.code, reply.status) == ("rate_limited", 429)
        assert reply.headers["retry-after"] == "1"
    # Refusals took nothing: after the time that was named one request goes through, whatever was refused before.
    time.sleep(1.0)
    assert center.ask("south", "GET", "/v1/domains").status == 200
    # Other kinds of operation and other clients have budgets of their own.
    assert center.issue("south", 0, 1).status == 200
    assert center.ask("north", "GET", "/v1/domains").status == 200


def test_an_operator_gives_a_site_a_rate_of_its_own(center: Center) -> None:
    wide = center.ask("operator", "PUT", "/v1/sites/west/limits", {"requests_per_second": 1000})
    assert wide.status == 200
    assert wide.json["requests_per_second"] == 1000
    assert wide.json["own"] == {"requests_per_second": 1000, "new_per_day": None, "records_per_day": None}
    conn = center.connect()
    assert {center.ask("west", "GET", "/v1/domains", conn=conn).status for _ in range(100)} == {200}
    conn.close()
    assert center.ask("operator", "PUT", "/v1/sites/west/limits", {"requests_per_second": 0.5}).status == 200
    started = time.monotonic()
    good, refused = drain(center, "west", "/v1/domains")  # the burst shrinks with the rate: 40 * 0.5 / 2
    assert good <= 10 + 0.5 * (time.monotonic() - started)
    assert int(refused[0].headers["retry-after"]) in (1, 2)  # one every two seconds, and a part of it may be there
    for bad in ({"requests_per_second": 0}, {"new_per_day": -1}, {"requests_per_minute": 5}):
        assert center.ask("operator", "PUT", "/v1/sites/west/limits", bad).code == "invalid_body"
    assert center.ask("operator", "PUT", "/v1/sites/nowhere/limits", {}).status == 404


def test_the_quota_of_a_day_counts_new_items_durably(center: Center) -> None:
    stay_within_a_day()
    first = center.issue("east", 0, 30)
    assert first.json["created"] == 30
    before = seconds_to_midnight()
    refused = center.issue("east", 20, 31)  # 10 known, 21 new: one too many
    after = seconds_to_midnight()
    assert (refused.status, refused.code) == (429, "quota_exceeded")
    assert after <= int(refused.headers["retry-after"]) <= before + 1  # whole seconds, rounded up
    known = center.issue("east", 0, 30)
    assert known.json["pseudonyms"] == first.json["pseudonyms"]
    assert center.issue("east", 10, 40).json["created"] == 20  # a refusal used up nothing: 30 + 20 = 50
    assert center.issue("east", 50, 1).code == "quota_exceeded"

    center.kill()  # what was used is in the database, not in memory
    center.start()
    assert center.issue("east", 50, 1).code == "quota_exceeded"
    usage = center.ask("operator", "GET", "/v1/sites/east/limits").json
    assert (usage["new_today"], usage["new_per_day"], usage["records_today"]) == (50, 50, 0)
    assert center.ask("operator", "GET", "/v1/domains/east").json["pseudonyms"] == 50

    assert center.ask("operator", "PUT", "/v1/sites/east/limits", {"new_per_day": 60}).status == 200
    assert center.issue("east", 50, 10).json["created"] == 10
    assert center.issue("east", 60, 1).code == "quota_exceeded"
    assert center.issue("north", 0, 50).json["created"] == 50  # another site's quota


def test_concurrent_batches_never_exceed_a_quota(center: Center) -> None:
    stay_within_a_day()
    assert center.ask("operator", "PUT", "/v1/sites/south/limits", {"new_per_day": 200}).status == 200
    before = center.ask("operator", "GET", "/v1/sites/south/limits").json["new_today"]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda i: center.issue("south", 1000 + 30 * i, 30), range(12)))
    created = sum(reply.json["created"] for reply in replies if reply.status == 200)
    assert created == (200 - before) // 30 * 30
    assert {reply.code for reply in replies if reply.status != 200} == {"quota_exceeded"}
    assert center.ask("operator", "GET", "/v1/sites/south/limits").json["new_today"] == before + created


def test_registered_records_have_a_quota_of_their_own(center: Center) -> None:
    from keys.hybrid import RecipientKey

    stay_within_a_day()
    body: dict[str, Any] = {"name": "heart", "purpose": "Test of quotas", "permit": "EK 2026-1"}
    body["participants"] = [{"site": "north"}, {"site": "south"}]
    body["recipients"] = [{"name": "dms", "public_key": RecipientKey.generate().public}]
    made = center.ask("operator", "POST", "/v1/studies", body)
    assert made.status == 201, made.body

    def register(count: int) -> Reply:
        numbers = [f"{number:032x}" for number in range(1, count + 1)]
        return center.ask("north", "POST", "/v1/studies/heart/records", {"record_numbers": numbers})

    assert register(31).code == "quota_exceeded"
    assert register(30).status == 200
    assert register(30).status == 200  # registered before
    assert register(31).code == "quota_exceeded"
    usage = center.ask("operator", "GET", "/v1/sites/north/limits").json
    assert usage["records_today"] == 30


def test_failed_authentications_are_limited_per_address_and_good_ones_are_not(center: Center) -> None:
    other = "127.0.0.2"
    assert center.ask("clara", "GET", "/v1/audit/registrar/checkpoint", source=other).status == 200
    wrong = "tc1_" + "A" * 43
    replies = [center.ask(wrong, "GET", "/v1/domains", source=other) for _ in range(10)]
    assert [reply.code for reply in replies] == ["unauthorized"] * 6 + ["too_many_failures"] * 4
    assert all(reply.status == 429 for reply in replies[6:])
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 10  # 6 a minute: one every ten seconds
    assert center.ask(None, "GET", "/v1/domains", source=other).code == "too_many_failures"
    # A credential that was good before passes, and other addresses have a budget of their own.
    assert center.ask("clara", "GET", "/v1/audit/registrar/checkpoint", source=other).status == 200
    assert center.ask(wrong, "GET", "/v1/domains", source="127.0.0.3").code == "unauthorized"


def test_refusals_stand_in_the_log_and_cannot_flood_it(center: Center) -> None:
    # As carl, whom no other test uses: 46 refusals, an entry for each window of a second at most.
    started = time.monotonic()
    conn = center.connect()
    replies = [center.ask("carl", "GET", "/v1/keys", conn=conn) for _ in range(90)]
    conn.close()
    counts: dict[str, int] = defaultdict(int)
    for reply in replies:
        counts[reply.code] += 1
    assert set(counts) == {"forbidden", "rate_limited"}
    for reason, count in counts.items():
        while sum(told := center.refused("carl", reason, "clara")) < count:  # until the window has ended
            assert time.monotonic() - started < 100
            time.sleep(0.5)
        assert sum(told) == count
        assert len(told) <= time.monotonic() - started + 1
        assert told[0] == 1  # the first one at once
    unknown = [entry for entry in center.log_entries("clara") if entry["event"] == "caller:request:refused"]
    assert {entry["who"] for entry in unknown} <= {"service"}
    quotas = [e for e in center.log_entries("clara") if e["event"] == "site:request:refused"]
    assert {("east", "quota_exceeded"), ("south", "rate_limited")} <= {(e["who"], e["data"]["reason"]) for e in quotas}


def test_tokens_of_staff_are_renewed_and_revoked_at_once(center: Center) -> None:
    dora = center.ask("operator", "POST", "/v1/staff", {"name": "dora", "role": "auditor"}).json["token"]
    another = center.ask("operator", "POST", "/v1/staff/dora/tokens", {"expires_days": 7}).json
    path = "/v1/audit/registrar/checkpoint"
    assert center.ask(dora["token"], "GET", path).status == 200
    assert center.ask(another["token"], "GET", path).status == 200
    # Credentials are remembered for 300 s here, so this shows that a revocation does not wait for that.
    assert center.ask("operator", "DELETE", f"/v1/staff/dora/tokens/{dora['token_id']}").status == 204
    assert center.ask(dora["token"], "GET", path).status == 401
    assert center.ask(another["token"], "GET", path).status == 200
    listed = {t["token_id"]: t for t in center.ask("operator", "GET", "/v1/staff/dora/tokens").json["tokens"]}
    assert listed[dora["token_id"]]["revoked"]
    assert not listed[another["token_id"]]["revoked"]
    assert center.ask("operator", "DELETE", f"/v1/sites/north/tokens/{another['token_id']}").status == 404
    assert center.ask("operator", "POST", "/v1/staff/nobody/tokens", {}).status == 404


def test_nobody_grants_to_himself(center: Center) -> None:
    from keys.personal import PersonalKey

    key = PersonalKey.generate().public
    for role in ("approver", "auditor", "operator"):
        reply = center.ask("operator", "POST", "/v1/staff", {"name": "operator", "role": role, "public_key": key})
        assert (reply.status, reply.code) == (403, "self_grant")
    made = center.ask("operator", "POST", "/v1/staff", {"name": "olga", "role": "operator", "public_key": key})
    olga = made.json["token"]["token"]
    reply = center.ask(olga, "POST", "/v1/staff", {"name": "olga-2", "role": "approver", "public_key": key})
    assert (reply.status, reply.code) == (403, "self_grant")
    names = {person["name"]: person["role"] for person in center.ask(olga, "GET", "/v1/staff").json["staff"]}
    assert names["operator"] == names["olga"] == "operator"
    assert "olga-2" not in names


def test_connections_of_one_address_are_bounded(center: Center) -> None:
    held = []
    try:
        refused = 0
        for _ in range(26):
            raw = socket.create_connection(center.address, source_address=("127.0.0.9", 0))
            held.append(raw)
            try:
                sock = center.tls().wrap_socket(raw, server_hostname="127.0.0.1")
                held.append(sock)
                sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                refused += sock.recv(100) == b""
            except (ssl.SSLError, OSError):
                refused += 1
        assert refused == 6
        assert center.ask("north", "GET", "/v1/domains").status == 200  # from another address
    finally:
        for sock in held:
            sock.close()
    deadline = time.monotonic() + 60
    while not center.answers("127.0.0.9"):  # closed ones count no more
        assert time.monotonic() < deadline
        time.sleep(0.1)


# --- commands; these stop the service, so they come last ------------------------------------------------


def test_limits_and_tokens_on_the_command_line(center: Center) -> None:
    connect = ("--connect", center.operator)
    shown = run_cli("site", "limit", "east", "--records-per-day", "7", "--json", *connect)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["own"] == {"requests_per_second": None, "new_per_day": 60, "records_per_day": 7}
    reset = run_cli("site", "limit", "east", "--default", "--json", *connect)
    assert json.loads(reset.stdout)["new_per_day"] == 50
    token = run_cli("staff", "token", "clara", *connect)
    assert token.stdout.startswith("tc1_")
    listed = json.loads(run_cli("staff", "token", "clara", "--list", "--json", *connect).stdout)
    assert len(listed) == 2
    newest = next(t["token_id"] for t in listed if t["token_id"] in token.stderr)
    assert run_cli("staff", "token", "clara", "--revoke", newest, *connect).returncode == 0
    assert center.ask(token.stdout.strip(), "GET", "/v1/audit/registrar/checkpoint").status == 401


def test_a_locked_out_operator_gets_in_again(center: Center) -> None:
    target = center.dir.parent / "recovered.toml"
    running = run_cli("operator-token", center.dir, "-o", target)
    assert running.returncode == 1
    assert "already_running" in running.stderr
    assert not target.exists()
    assert center.stop() == 0
    refused = run_cli("operator-token", center.dir, "--name", "clara")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "not_an_operator" in refused.stderr
    done = run_cli("operator-token", center.dir, "-o", target, "--revoke-others")
    assert done.returncode == 0, done.stderr
    assert target.stat().st_mode & 0o777 == 0o600
    center.start()
    assert run_cli("site", "list", "--connect", target).returncode == 0
    old = run_cli("site", "list", "--connect", center.operator)
    assert old.returncode == 4
    assert "unauthorized" in old.stderr
    events = [entry["event"] for entry in center.log_entries("clara")]
    assert events.count("operator:token:recover") == 1
    assert center.verify_log("clara", center.dir.parent / "log.ndjson").returncode == 0

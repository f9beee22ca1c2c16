"""Client certificates over real TLS: the right one, and every wrong one."""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
import trustme
from access_support import Center
from tests_support import run_cli

from trustcenter.http.handshakes import Handshakes

REFUSED = (ssl.SSLError, ConnectionError)
SETTINGS = """
client_ca = "tls/clients.pem"
client_certificates = "optional"

[limits]
credential_cache = 300.0
"""


class Clients:
    """A service that asks for certificates, the authority that it trusts, and one that it does not."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.authority = trustme.CA()
        self.stranger = trustme.CA()
        authority = base / "clients.pem"
        self.authority.cert_pem.write_to_path(authority)
        self.center = Center(base, SETTINGS.replace("tls/clients.pem", str(authority)))
        for site in ("north", "south"):
            self.center.add_site(site)
        self.center.add_staff("clara", "auditor")

    def make(self, name: str, *, ca: trustme.CA | None = None, not_after: datetime | None = None) -> Path:
        made = (ca or self.authority).issue_cert(f"{name}.example", common_name=name, not_after=not_after)
        path = self.base / f"{name}.pem"
        made.private_key_and_cert_chain_pem.write_to_path(path)
        self.public(name).write_bytes(made.cert_chain_pems[0].bytes())
        return path

    def public(self, name: str) -> Path:
        return self.base / f"{name}.crt"

    def bind(self, name: str, kind: str = "sites", owner: str | None = None) -> str:
        made = self.center.ask(
            "operator",
            "POST",
            f"/v1/{kind}/{owner or name}/certificates",
            {"certificate": self.public(name).read_text()},
        )
        assert made.status == 201, made.body
        return str(made.json["fingerprint"])


def failed(center: Center, reason: str, *, who: str | None = None, certificate: Path | None = None) -> int:
    """How many handshakes the service has counted."""
    page = center.ask(who, "GET", "/metrics", certificate=certificate).body.decode()
    name = f'trustcenter_handshakes_failed_total{{outcome="{reason}"}} '
    return next(int(line.removeprefix(name)) for line in page.splitlines() if line.startswith(name))


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    made = Clients(tmp_path_factory.mktemp("mtls"))
    try:
        yield made
        assert "Traceback" not in made.center.log.read_text()
    finally:
        if made.center.process.poll() is None:
            assert made.center.stop() == 0


def test_a_bound_certificate_needs_no_token(clients: Clients) -> None:
    north = clients.make("north")
    fingerprint = clients.bind("north")
    assert fingerprint == hashlib.sha256(ssl.PEM_cert_to_DER_cert(clients.public("north").read_text())).hexdigest()
    reply = clients.center.ask(None, "GET", "/v1/domains", certificate=north)
    assert [domain["name"] for domain in reply.json["domains"]] == ["north"]
    assert clients.center.issue("north", 0, 5, certificate=north).status == 200  # with its own token too
    assert clients.center.ask(None, "GET", "/v1/sites", certificate=north).status == 403  # a site is no operator
    assert clients.center.ask("north", "GET", "/v1/domains").status == 200  # optional: the token alone
    assert clients.center.ask(None, "GET", "/v1/domains").status == 401


def test_a_person_has_a_certificate_too(clients: Clients) -> None:
    clara = clients.make("clara")
    clients.bind("clara", "staff")
    assert clients.center.ask(None, "GET", "/v1/audit/registrar/checkpoint", certificate=clara).status == 200
    assert clients.center.ask(None, "GET", "/v1/sites", certificate=clara).status == 403


def test_token_and_certificate_of_two_callers_are_refused(clients: Clients) -> None:
    pair = clients.make("pair")
    clients.bind("pair", owner="north")
    for other in ("south", "clara", "operator"):
        reply = clients.center.ask(other, "GET", "/v1/domains", certificate=pair)
        assert (reply.status, reply.code) == (401, "credentials_differ")
    wrong = clients.center.ask("tc1_" + "A" * 43, "GET", "/v1/domains", certificate=pair)
    assert (wrong.status, wrong.code) == (401, "unauthorized")
    # A site and a person of one name are two callers.
    clients.center.add_staff("south", "auditor")
    twin = clients.make("twin")
    clients.bind("twin", owner="south")
    token = clients.center.ask("operator", "POST", "/v1/staff/south/tokens", {}).json["token"]
    assert clients.center.ask(token, "GET", "/v1/domains", certificate=twin).code == "credentials_differ"


def test_a_certificate_that_is_bound_to_nobody_is_refused_even_with_a_good_token(clients: Clients) -> None:
    unbound = clients.make("unbound")
    for who in (None, "north"):
        reply = clients.center.ask(who, "GET", "/v1/domains", certificate=unbound)
        assert (reply.status, reply.code) == (401, "unknown_certificate")


def test_a_certificate_of_another_authority_is_refused_in_the_handshake(clients: Clients) -> None:
    # Same names, even bound by mistake: the handshake decides first.
    foreign = clients.make("foreign", ca=clients.stranger)
    clients.bind("foreign", owner="north")
    before = failed(clients.center, "wrong_certificate", who="operator")
    for who in (None, "north"):
        with pytest.raises(REFUSED):
            clients.center.ask(who, "GET", "/v1/domains", certificate=foreign)
    assert failed(clients.center, "wrong_certificate", who="operator") == before + 2
    told = [line for line in clients.center.log.read_text().splitlines() if "handshake failed" in line]
    assert len([line for line in told if '"code": "wrong_certificate"' in line]) >= 1
    assert not any("127.0.0.1" in line or "foreign" in line for line in told)


def test_a_thousand_failed_handshakes_are_all_counted_and_leave_a_line_a_minute() -> None:
    now = 0.0
    watched = Handshakes(clock=lambda: now)
    with structlog.testing.capture_logs() as lines:
        for second in range(125):
            now = float(second)
            for _ in range(8):
                watched.note(ssl.SSLCertVerificationError())
    assert watched.failed == {"no_certificate": 0, "wrong_certificate": 1000, "refused_by_client": 0, "other": 0}
    for name in ("TLSV1_ALERT_UNKNOWN_CA", "WRONG_VERSION_NUMBER", None):
        error = ssl.SSLError()
        error.reason = name  # type: ignore[assignment]  # as Python has it where OpenSSL tells none
        watched.note(error)
    assert (watched.failed["refused_by_client"], watched.failed["other"]) == (1, 2)
    assert [(line["event"], line["code"]) for line in lines] == [("handshake failed", "wrong_certificate")] * 3


def test_an_expired_certificate_is_refused(clients: Clients) -> None:
    old = clients.make("old", not_after=datetime.now(UTC) - timedelta(hours=1))
    refused = clients.center.ask(
        "operator", "POST", "/v1/sites/north/certificates", {"certificate": clients.public("old").read_text()}
    )
    assert (refused.status, refused.code) == (400, "bad_certificate")
    with pytest.raises(REFUSED):
        clients.center.ask("north", "GET", "/v1/domains", certificate=old)


def test_a_certificate_that_expires_on_an_open_connection_is_refused(clients: Clients) -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=8)
    short = clients.make("short", not_after=ends)
    clients.bind("short", owner="north")
    conn = clients.center.connect(certificate=short)
    assert clients.center.ask(None, "GET", "/v1/domains", conn=conn).status == 200
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 0.3)
    reply = clients.center.ask(None, "GET", "/v1/domains", conn=conn)
    assert (reply.status, reply.code) == (401, "unknown_certificate")
    conn.close()


def test_a_revoked_certificate_is_worthless_at_once_and_for_ever(clients: Clients) -> None:
    gone = clients.make("gone")
    fingerprint = clients.bind("gone", owner="south")
    conn = clients.center.connect(certificate=gone)
    assert clients.center.ask(None, "GET", "/v1/domains", conn=conn).status == 200
    path = f"/v1/sites/south/certificates/{fingerprint}"
    assert clients.center.ask("operator", "DELETE", f"/v1/sites/north/certificates/{fingerprint}").status == 404
    assert clients.center.ask("operator", "DELETE", path).status == 204
    assert clients.center.ask(None, "GET", "/v1/domains", conn=conn).code == "unknown_certificate"
    assert clients.center.ask("south", "GET", "/v1/domains", conn=conn).code == "unknown_certificate"
    conn.close()
    again = clients.center.ask(
        "operator", "POST", "/v1/sites/south/certificates", {"certificate": clients.public("gone").read_text()}
    )
    assert (again.status, again.code) == (409, "certificate_bound")
    listed = clients.center.ask("operator", "GET", "/v1/sites/south/certificates").json["certificates"]
    assert next(c["revoked"] for c in listed if c["fingerprint"] == fingerprint)


def test_what_is_no_client_certificate_is_not_bound(clients: Clients) -> None:
    path = "/v1/sites/north/certificates"
    one = clients.public("north").read_text()
    for text in (
        "",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        one + clients.public("clara").read_text(),
    ):
        assert clients.center.ask("operator", "POST", path, {"certificate": text}).code == "bad_certificate"
    authority = clients.authority.cert_pem.bytes().decode()
    assert clients.center.ask("operator", "POST", path, {"certificate": authority}).code == "bad_certificate"
    assert clients.center.ask("operator", "POST", "/v1/sites/nobody/certificates", {"certificate": one}).status == 404


def test_required_certificates_and_the_command_line(clients: Clients, tmp_path: Path) -> None:
    center = clients.center
    operator, site = clients.make("operator"), clients.make("site")
    bound = run_cli("staff", "certificate", "operator", clients.public("operator"), "--connect", center.operator)
    assert bound.returncode == 0, bound.stderr
    leak = run_cli("site", "certificate", "north", operator, "--connect", center.operator)
    assert "bad_certificate_file" in leak.stderr  # the file holds the key
    assert run_cli("site", "certificate", "north", clients.public("site"), "--connect", center.operator).returncode == 0
    assert center.stop() == 0
    config = center.dir / "config.toml"
    config.write_text(config.read_text().replace('"optional"', '"required"'))
    center.start()
    with pytest.raises(REFUSED):
        center.ask("north", "GET", "/v1/domains")
    refused = run_cli("site", "list", "--connect", center.operator)
    assert refused.returncode == 2
    assert "client certificate" in refused.stderr
    file = center.dir.parent / "site.toml"
    lines = [f'url = "{center.url}"', 'site = "north"', 'certificate = "site.pem"', 'certificate_key = "site.pem"']
    file.write_text("\n".join([*lines, f'ca = """\n{center.connection.ca}"""', ""]))
    file.chmod(0o600)
    shown = run_cli("domain", "list", "--connect", file)
    assert shown.returncode == 0, shown.stderr
    assert "north" in shown.stdout
    assert center.ask(None, "GET", "/v1/sites", certificate=operator).status == 200
    assert failed(center, "no_certificate", certificate=operator) >= 2  # the request and the command above
    assert site.exists()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ('client_certificates = "sometimes"', "server.client_certificates"),
        ('client_certificates = "required"', "server.client_ca"),
    ],
)
def test_a_half_configuration_is_refused(tmp_path: Path, change: str, where: str) -> None:
    from trustcenter import config
    from trustcenter.errors import ConfigError

    (tmp_path / "config.toml").write_text(f"[server]\n{change}\n")
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path)
    assert caught.value.where == where

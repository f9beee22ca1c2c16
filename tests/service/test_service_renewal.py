"""A renewed certificate is taken on SIGHUP, and a connection that stands goes on."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from conftest_operate import Center
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from trustcenter import config
from trustcenter.errors import ConfigError
from trustcenter.http.server import tls_context
from trustcenter.instance import tls
from trustcenter.instance.checking.checks_operate import certificates


def presented(center: Center, ca: Path) -> bytes:
    """The certificate that a new connection is shown."""
    parts = urlsplit(center.url)
    context = ssl.create_default_context(cafile=str(ca))
    raw = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)
    with raw, context.wrap_socket(raw, server_hostname=parts.hostname) as wrapped:
        shown = wrapped.getpeercert(binary_form=True)
        assert shown is not None
        return shown


def test_a_renewed_certificate_is_taken_without_a_restart(tmp_path: Path) -> None:
    center = Center(tmp_path)
    folder = center.dir / "tls"
    old_ca = tmp_path / "old.pem"
    old_ca.write_bytes((folder / "ca.pem").read_bytes())
    tls.create(tmp_path / "new", "127.0.0.1", ())
    with center.running() as process:
        before = presented(center, old_ca)
        parts = urlsplit(center.url)
        standing = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, context=ssl.create_default_context(cafile=str(old_ca)), timeout=20
        )
        standing.request("GET", "/healthz")
        assert standing.getresponse().read()

        key = (folder / "server.key").read_bytes()
        (folder / "server.key").write_bytes(b"damaged")  # half renewed: refused, and the old one stays
        os.kill(process.pid, signal.SIGHUP)
        wait_for_line(tmp_path / "log", "not renewed")
        assert presented(center, old_ca) == before
        (folder / "server.key").write_bytes(key)

        for name in ("server.pem", "server.key"):
            (tmp_path / "new" / name).replace(folder / name)
        os.kill(process.pid, signal.SIGHUP)
        wait_for_line(tmp_path / "log", "certificate renewed")
        assert presented(center, tmp_path / "new" / "ca.pem") != before
        standing.request("GET", "/healthz")  # on the same connection
        assert standing.getresponse().status == 200
        standing.close()
        assert process.poll() is None


def test_the_instance_renews_its_own_certificate_and_clients_go_on(tmp_path: Path) -> None:
    center = Center(tmp_path)
    ca = center.dir / "tls" / "ca.pem"
    with center.running() as process:
        before = presented(center, ca)
        center.cli("renew-certificate", center.dir, "--name", "tc.example.org")
        os.kill(process.pid, signal.SIGHUP)
        wait_for_line(tmp_path / "log", "certificate renewed")
        after = presented(center, ca)  # by the authority that clients have
        assert after != before
        names = x509.load_der_x509_certificate(after).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert "tc.example.org" in names.value.get_values_for_type(x509.DNSName)
    ca.unlink()
    (center.dir / "tls" / "server.pem").unlink()
    assert center.doctor()["certificate"]["text"] == "the file is missing"
    assert "--new-authority" in center.cli("renew-certificate", center.dir, expect=1).stderr
    center.cli("renew-certificate", center.dir, "--new-authority")
    with center.running():
        assert presented(center, ca) != after


def test_a_key_that_does_not_fit_or_is_sealed_is_told_before_the_service_is_started(tmp_path: Path) -> None:
    """And nobody is asked for a passphrase, which would let a service that reloads stand still."""
    tls.create(tmp_path / "tls", "127.0.0.1")
    (tmp_path / "config.toml").write_text("[files]\n")
    settings = config.load(tmp_path)
    assert [one.state for one in certificates(settings)] == ["ok"]
    place = tmp_path / "tls" / "server.key"
    own = serialization.load_pem_private_key(place.read_bytes(), None)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    sealed = own.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"passphrase"))
    for key in ((tmp_path / "tls" / "ca.key").read_bytes(), sealed, b""):
        place.write_bytes(key)
        assert [(one.name, one.state) for one in certificates(settings)][1:] == [("certificate key", "fail")]
        with pytest.raises(ConfigError):
            tls_context(settings)


def test_doctor_tells_a_certificate_that_has_expired_from_one_that_is_not_valid_yet(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[files]\n")
    (tmp_path / "tls").mkdir()
    for days, text in (((-3, -1), "expired"), ((1, 3), "not valid yet: is the clock right?")):
        begin, end = (datetime.now(UTC) + timedelta(days=count) for count in days)
        made = trustme.CA().issue_cert("127.0.0.1", not_before=begin, not_after=end)
        (tmp_path / "tls" / "server.pem").write_bytes(made.cert_chain_pems[0].bytes())
        (tmp_path / "tls" / "server.key").write_bytes(made.private_key_pem.bytes())
        (found,) = certificates(config.load(tmp_path))
        assert (found.state, found.text) == ("fail", text)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root gives files away")
def test_what_root_renews_belongs_to_the_service(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    tls.create(folder, "127.0.0.1")
    names = ("", "ca.pem", "ca.key", "server.pem", "server.key")
    for name in names:
        os.chown(folder / name, 65534, 65533)
    (tmp_path / "config.toml").write_text('[server]\ncertificate = "tls/server.pem"\nkey = "tls/server.key"\n[files]\n')
    tls.renew(config.load(tmp_path), new_authority=True)
    found = [(folder / name).stat() for name in names]
    assert {(one.st_uid, one.st_gid) for one in found} == {(65534, 65533)}
    assert (folder / "server.key").stat().st_mode & 0o777 == 0o600


def wait_for_line(log: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if text in log.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"the log never said: {text}")

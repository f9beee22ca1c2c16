"""A service with a configuration of its own, and requests from chosen addresses, with chosen certificates."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests_support import launch, make_instance

from trustcenter.client.connection import Connection


@dataclass
class Reply:
    """Status, headers and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def code(self) -> str:
        return self.json["code"] if self.status >= 400 else ""


class Center:
    """One instance, its service, and the tokens of its callers."""

    def __init__(self, base: Path, settings: str, *, options: Sequence[str] = ()) -> None:
        self.dir = base / "instance"
        make_instance(self.dir, options)
        config = self.dir / "config.toml"
        config.write_text(config.read_text().replace("[files]", settings.replace("[server]\n", "") + "\n[files]", 1))
        self.log = base / "service.log"
        self.operator = self.dir / "operator.toml"
        self.connection = Connection.load(self.operator)
        self.tokens = {"operator": self.connection.token}
        self.start()

    def start(self) -> None:
        self.process, self.url = launch(self.dir, self.log)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def tls(self, certificate: Path | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.connection.ca)
        if certificate is not None:
            context.load_cert_chain(certificate)
        return context

    def connect(self, source: str = "127.0.0.1", certificate: Path | None = None) -> http.client.HTTPSConnection:
        host, port = self.address
        return http.client.HTTPSConnection(
            host, port, context=self.tls(certificate), timeout=30, source_address=(source, 0)
        )

    def ask(
        self,
        who: str | None,
        method: str,
        path: str,
        body: Any = None,
        *,
        source: str = "127.0.0.1",
        certificate: Path | None = None,
        conn: http.client.HTTPSConnection | None = None,
    ) -> Reply:
        """One request. `who`: a caller of ours, a token as such, or None for no token."""
        headers = {"Authorization": f"Bearer {self.tokens.get(who, who)}"} if who is not None else {}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        used = conn if conn is not None else self.connect(source, certificate)
        try:
            used.request(method, path, data, headers)
            response = used.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            if conn is None:
                used.close()

    def add_site(self, name: str) -> None:
        assert self.ask("operator", "POST", "/v1/sites", {"name": name, "kind": "diz", "title": name}).status == 201
        self.tokens[name] = self.ask("operator", "POST", f"/v1/sites/{name}/tokens", {}).json["token"]
        assert self.ask("operator", "POST", "/v1/domains", {"name": name, "site": name}).status == 201

    def add_staff(self, name: str, role: str) -> None:
        made = self.ask("operator", "POST", "/v1/staff", {"name": name, "role": role})
        assert made.status == 201, made.body
        self.tokens[name] = made.json["token"]["token"]

    def issue(self, site: str, first: int, count: int, **options: Any) -> Reply:
        """Pseudonyms of `count` originals from number `first` on."""
        originals = [str(number) for number in range(first, first + count)]
        return self.ask(site, "POST", f"/v1/domains/{site}/pseudonyms", {"originals": originals}, **options)

    def log_entries(self, auditor: str) -> list[Any]:
        """The entries of the registrar's log."""
        reply = self.ask(auditor, "GET", "/v1/audit/registrar/export")
        assert reply.status == 200, reply.body
        lines = [json.loads(line) for line in reply.body.splitlines()]
        return [line["leaf"] for line in lines if "leaf" in line]

    def refused(self, who: str, reason: str, auditor: str) -> list[int]:
        """How often a member of staff was refused for a reason, as each entry of the log has it."""
        mine = [e for e in self.log_entries(auditor) if (e["event"], e["who"]) == ("staff:request:refused", who)]
        return [entry["data"]["count"] for entry in mine if entry["data"]["reason"] == reason]

    def answers(self, source: str) -> bool:
        """Whether a connection from an address is taken."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask(None, "GET", "/healthz", source=source).status == 200
        return False

    def verify_log(self, auditor: str, path: Path) -> subprocess.CompletedProcess[str]:
        from tests_support import run_cli

        path.write_bytes(self.ask(auditor, "GET", "/v1/audit/registrar/export").body)
        return run_cli("audit", "verify", path)


@contextlib.contextmanager
def serving(base: Path, settings: str) -> Iterator[Center]:
    """A service that ends when it is told to, and whose log holds no traceback."""
    running = Center(base, settings)
    try:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log.read_text()
    finally:
        if running.process.poll() is None:
            running.kill()


def raw(center: Center) -> ssl.SSLSocket:
    """A connection of a client that sends what it likes."""
    sock = center.tls().wrap_socket(socket.create_connection(center.address), server_hostname="127.0.0.1")
    sock.settimeout(60)
    return sock


def head(center: Center, *more: str, path: str = "/v1/domains/north/pseudonyms") -> bytes:
    """The header of a POST of the site `north`."""
    lines = (f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {center.tokens['north']}",
             "Content-Type: application/json", *more)  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def answer(sock: ssl.SSLSocket) -> tuple[int, bytes]:
    """Status and body; (0, b"") if the connection was closed without an answer."""
    try:
        response = http.client.HTTPResponse(sock)
        response.begin()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""

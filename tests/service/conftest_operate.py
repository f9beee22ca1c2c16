"""An instance that a test starts, stops, restores and clones."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ports_support import own_port
from tests_support import launch, make_instance, ok, run_cli

from trustcenter import config
from trustcenter.client.connection import Connection
from trustcenter.instance.checking import checks, fsck


class Center:
    """One instance below `base`, by its files and commands."""

    def __init__(self, base: Path, directory: Path | None = None) -> None:
        self.base = base
        self.dir = directory or base / "center"
        self.url = ""
        if directory is None:
            make_instance(self.dir)

    @property
    def secret(self) -> tuple[str, Path]:
        return ("--passphrase-file", self.dir / "passphrase")

    @property
    def operator(self) -> tuple[str, Path]:
        return ("--connect", self.base / "center" / "operator.toml")

    @property
    def auditor(self) -> Path:
        return self.base / "clara.toml"

    def at(self, directory: Path) -> Center:
        """The same instance in other files, on a port of its own."""
        config = directory / "config.toml"
        config.write_text(re.sub(r"port = \d+", f"port = {own_port()}", config.read_text()))
        return Center(self.base, directory)

    def cli(self, *arguments: str | Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = run_cli(*arguments)
        assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        process, self.url = launch(self.dir, self.base / "log")
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                assert process.wait(60) == 0

    def refusal(self, expect: int = 3) -> str:
        return self.cli("serve", self.dir, expect=expect).stderr

    def found(self) -> None:
        """One site with one domain, and an auditor."""
        ok("site", "add", "north", *self.operator)
        ok("domain", "create", "north", "--site", "north", *self.operator)
        ok("site", "token", "north", "-o", self.base / "north.toml", *self.operator)
        ok("staff", "add", "clara", "--role", "auditor", "-o", self.auditor, *self.operator)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, list[str | None]]:
        connection = Connection.load(self.base / "north.toml")
        parts = urlsplit(self.url)
        context = ssl.create_default_context(cadata=connection.ca)
        conn = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=60)
        headers = {"Authorization": f"Bearer {connection.token}", "Content-Type": "application/json"}
        try:
            conn.request("POST", path, json.dumps(body), headers)
            response = conn.getresponse()
            content = response.read()
            assert response.status == 200, content
            answer: dict[str, list[str | None]] = json.loads(content)
            return answer
        finally:
            conn.close()

    def get(self, path: str, headers: dict[str, str]) -> tuple[int, str]:
        """A request without any credential."""
        parts = urlsplit(self.url)
        context = ssl.create_default_context(cafile=str(self.dir / "tls" / "ca.pem"))
        conn = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=60)
        try:
            conn.request("GET", path, headers=headers)
            response = conn.getresponse()
            return response.status, response.read().decode()
        finally:
            conn.close()

    def pseudonyms(self, originals: Sequence[str]) -> dict[str, str]:
        answer = self.post("/v1/domains/north/pseudonyms", {"originals": list(originals)})["pseudonyms"]
        return dict(zip(originals, map(str, answer), strict=True))

    def translate(self, strings: Sequence[str]) -> list[str | None]:
        return self.post("/v1/domains/north/translate", {"pseudonyms": list(strings)})["pseudonyms"]

    def fsck(self) -> tuple[int, list[dict[str, str]]]:
        """Exit code and findings, as the command would have them."""
        findings = fsck.run(config.load(self.dir), (self.dir / "passphrase").read_bytes().strip())
        return 3 if any(f.state == "fail" for f in findings) else 0, [f.as_dict() for f in findings]

    def doctor(self) -> dict[str, dict[str, str]]:
        findings = checks.run(config.load(self.dir), lambda: (self.dir / "passphrase").read_bytes().strip())
        return {finding.name: finding.as_dict() for finding in findings}


def approvers(center: Center) -> dict[str, Path]:
    """Two approvers on file, with their keys."""
    keys = {}
    for name in ("anna", "bernd"):
        keys[name] = center.base / f"{name}.key"
        ok("staff", "keygen", "-o", keys[name], "--no-passphrase")
        ok(
            "staff", "add", name, "--role", "approver", "--public-key", _public(keys[name]),
            "-o", center.base / f"{name}.toml", *center.operator,
        )  # fmt: skip
    return keys


def _public(path: Path) -> str:
    from keys.personal import PersonalKey

    return PersonalKey.load(path).public


def people_of(center: Center) -> dict[str, Path]:
    """The approvers' keys."""
    return {name: center.base / f"{name}.key" for name in ("anna", "bernd")}

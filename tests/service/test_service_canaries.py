"""No secret and no original in any file, log line, error or repr: every value that a caller sends is a canary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from access_support import Center
from tests_support import ON_POSTGRES, launch

from keys.store import KeyStore
from trustcenter import config
from trustcenter.instance.opening import open_instance
from trustcenter.registrar import domain_create, domains

FORMAT = {"prefix": "P-", "alphabet": "symbol32", "length": 9, "check": "damm"}


class WithTemporary(Center):
    """A service whose temporary files go into a directory of its own."""

    def start(self) -> None:
        self.temporary = self.dir.parent / "tmp"
        self.temporary.mkdir(exist_ok=True)
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = str(self.temporary)
        try:
            self.process, self.url = launch(self.dir, self.log)
        finally:
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before


def canary(kind: str, number: int = 0) -> str:
    return f"canary-{kind}-{number:04d}-Zaunkönig"


@pytest.mark.skipif(ON_POSTGRES, reason="looks into files")
def test_no_value_of_a_caller_reaches_any_file(tmp_path: Path) -> None:
    center = WithTemporary(tmp_path, "[limits]\nrequests_per_second = 10000\n")
    try:
        center.add_site("north")
        for name, options in {
            "several": {"multi": True, "deletable": True},
            "drawn": {"suite": "drawn", "format": FORMAT, "deletable": True},
        }.items():
            made = center.ask("operator", "POST", "/v1/domains", {"name": name, "site": "north", **options})
            assert made.status == 201
        issued: list[str] = []
        sent: set[str] = set()

        def ask(path: str, body: Any, status: int = 200, **headers: str) -> Any:
            conn = center.connect()
            conn.request(
                "POST", path, json.dumps(body),
                {"Authorization": f"Bearer {center.tokens['north']}", "Content-Type": "application/json", **headers},
            )  # fmt: skip
            response = conn.getresponse()
            content = response.read()
            conn.close()
            assert response.status == status, content
            return json.loads(content)

        for domain in ("north", "several", "drawn"):
            originals = [canary(domain, n) for n in range(300)]
            sent.update(originals)
            texts = ask(f"/v1/domains/{domain}/pseudonyms", {"originals": originals})["pseudonyms"]
            issued += texts
            ask(f"/v1/domains/{domain}/anonymise", {"pseudonyms": texts[:20]})
            if domain != "north":
                ask(f"/v1/domains/{domain}/delete", {"pseudonyms": texts[20:150]})
            pairs = [{"original": canary("pair", n), "pseudonym": canary("string", n)} for n in range(50)]
            sent.update(value for pair in pairs for value in pair.values())
            ask(f"/v1/domains/{domain}/import", {"pairs": pairs})
            ask(f"/v1/domains/{domain}/translate", {"pseudonyms": [*texts, *sent]})
            ask(f"/v1/domains/{domain}/validate", {"pseudonyms": [*texts, *sent]})
            ask(f"/v1/domains/{domain}/pseudonyms", {"originals": [canary("unknown")], "mode": "get"})
        key = "canary-idempotency-0001"
        more = ask(
            "/v1/domains/several/additional", {"originals": [canary("several", 299)], "count": 3},
            **{"Idempotency-Key": key},
        )  # fmt: skip
        issued += more["pseudonyms"][0]
        center.kill()  # a crash in between leaves its write-ahead log
        center.start()
        ask("/v1/domains/north/pseudonyms", {"originals": [canary("later")]})
        for bad in ({"originals": canary("bad")}, {canary("field"): 1}, {"pseudonyms": [canary("bad")]}):
            ask("/v1/domains/north/validate", bad, 400 if "pseudonyms" not in bad else 200)
        assert center.stop() == 0
        secrets = {value.encode() for value in (*sent, *issued, key)} | {b"canary-", b"Zaunk"}
        secrets |= {token.encode() for token in center.tokens.values()}
        store = KeyStore.open(
            center.dir / "registrar-keys" / "registrar.keys", (center.dir / "passphrase").read_bytes().strip()
        )
        assert len(store.entries()) > 5
        own = {center.dir / "operator.toml"}  # the operator's own connection file holds the operator's token
        looked = 0
        for path in (*center.dir.rglob("*"), *center.temporary.rglob("*"), center.log):
            if path.is_file() and path not in own:
                content = path.read_bytes()
                looked += 1
                found = [secret[:7] for secret in secrets if secret in content]
                assert not found, (path.name, len(found))
        assert looked > 8
        assert list(center.temporary.iterdir()) == []
        wal = center.dir / "registrar" / "registrar.db-wal"
        assert not wal.exists() or wal.stat().st_size == 0
    finally:
        if center.process.poll() is None:
            center.kill()


@pytest.mark.skipif(ON_POSTGRES, reason="looks into files")
async def test_no_secret_shows_in_a_repr(tmp_path: Path) -> None:
    from tests_support import make_instance

    make_instance(tmp_path / "center")
    settings = config.load(tmp_path / "center")
    passphrase = (tmp_path / "center" / "passphrase").read_bytes().strip()
    async with open_instance(settings, passphrase) as instance:
        context = instance.registrar
        await context.db.write(lambda conn: context.directory.add_site(conn, "north", "diz", "North"))
        from trustcenter.auth import Principal
        from trustcenter.messages import api

        await domain_create.create(
            context, Principal("operator", "operator", ""), "r", api.DomainCreate(name="d", site="north")
        )
        domain = await context.db.read(lambda conn: domains.find(conn, "d"))
        things = (instance, context, domain, context.keys, context.head, context.ring, context.log, context.directory,
                  context.db, context.tags, settings)  # fmt: skip
        for thing in things:
            for text in (repr(thing), str(thing), f"{thing}"):
                for secret in (domain.h, passphrase):
                    assert secret.hex() not in text, type(thing)
                    assert repr(secret)[2:-1] not in text, type(thing)
                    assert str(list(secret))[1:-1] not in text, type(thing)


def test_a_failure_of_ours_shows_no_value(tmp_path: Path) -> None:
    """An exception that nobody foresaw, with a secret in its text and in its variables, leaves only places behind."""
    program = (
        "from trustcenter.http.problems import log_unexpected, problem\n"
        "from trustcenter.http.logs import configure\n"
        "configure()\n"
        "def fails(original):\n"
        "    raise ValueError('bad ' + original)\n"
        "try:\n"
        "    fails('canary-4711')\n"
        "except ValueError as error:\n"
        "    log_unexpected(error, 'abc')\n"
        "    print(problem(error, 'abc'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "ValueError" in done.stderr
    assert "canary" not in done.stderr + done.stdout

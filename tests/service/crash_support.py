"""Load for the crash harness: clients that note what the service acknowledged, and comparisons with what it kept.

Whatever was not acknowledged may or may not have happened; it is left out of the comparisons, except that a
repetition with the same Idempotency-Key must give the same answer from the first acknowledgement on.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import ssl
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from trustcenter.client.connection import Connection

FORMAT = {"prefix": "P-", "alphabet": "symbol32", "length": 9, "check": "damm"}
DOMAINS: dict[str, dict[str, Any]] = {
    "turned": {},  # its key is rotated
    "still": {},
    "several": {"multi": True, "deletable": True},
    "drawn": {"suite": "drawn", "format": FORMAT, "deletable": True},
}


class Caller:
    """One client with a kept connection. None stands for anything but an answer."""

    def __init__(self, connection: Connection) -> None:
        parts = urlsplit(connection.url)
        context = ssl.create_default_context(cadata=connection.ca)
        self._make = lambda: http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=20)
        self._headers = {"Authorization": f"Bearer {connection.token}", "Content-Type": "application/json"}
        self._conn: http.client.HTTPSConnection | None = None

    def __call__(self, path: str, body: Any, **headers: str) -> tuple[int, str, Any] | None:
        """Status, request id and body of a POST."""
        try:
            if self._conn is None:
                self._conn = self._make()
            self._conn.request("POST", path, json.dumps(body), {**self._headers, **headers})
            response = self._conn.getresponse()
            content = response.read()
            return response.status, response.headers["X-Request-Id"], json.loads(content)
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return None

    def lines(self, path: str) -> list[Any] | None:
        """The lines of a GET, if all of them came."""
        try:
            if self._conn is None:
                self._conn = self._make()
            self._conn.request("GET", path, headers=self._headers)
            response = self._conn.getresponse()
            found = [json.loads(line) for line in response.read().splitlines()]
            return found if response.status == 200 else None
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return None

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None


@dataclass
class Ledger:
    """What was acknowledged. Entries are only added; `lock` guards what several workers write."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    names: dict[tuple[str, str], dict[int, str]] = field(default_factory=dict)  # (domain, original) → version → text
    keyed: dict[str, tuple[str, list[str], list[list[str]]]] = field(default_factory=dict)  # key → (domain, …)
    tried: dict[str, tuple[str, list[str]]] = field(default_factory=dict)  # keys whose request got no answer
    deleted: list[tuple[str, str]] = field(default_factory=list)  # (domain, pseudonym)
    unsure: set[tuple[str, str]] = field(default_factory=set)  # as deleted, the request got no answer
    effects: list[tuple[str, str, int]] = field(default_factory=list)  # (request id, event, rows)
    rotations: int = 0
    wrong: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def note_names(self, domain: str, originals: Sequence[str], version: int, texts: Sequence[str]) -> None:
        with self.lock:
            for original, text in zip(originals, texts, strict=True):
                if self.names.setdefault((domain, original), {}).setdefault(version, text) != text:
                    self.wrong.append(f"{domain}: another pseudonym than was acknowledged")

    def note_effect(self, request: str, event: str, rows: int) -> None:
        if rows:
            with self.lock:
                self.effects.append((request, event, rows))

    def note_keyed(self, key: str, domain: str, originals: list[str], answer: list[list[str]]) -> None:
        with self.lock:
            self.tried.pop(key, None)
            if self.keyed.setdefault(key, (domain, originals, answer))[2] != answer:
                self.wrong.append("a repetition had another answer")


@dataclass
class Worker:
    """One client that goes on until it is told to stop."""

    ledger: Ledger
    connection: Connection
    operator: Connection
    number: int
    stop: threading.Event

    def run(self) -> None:
        self._call, self._operate = Caller(self.connection), Caller(self.operator)
        self._random = random.Random(self.number)
        actions = [self._create] * 5 + [self._additional] * 3 + [self._delete] * 3 + [self._rotate]
        try:
            while not self.stop.is_set():
                self._random.choice(actions)()
        except Exception as error:
            self.ledger.wrong.append(f"a worker failed: {error!r}")
        finally:
            self._call.close()
            self._operate.close()

    def _post(self, path: str, body: Any, **headers: str) -> tuple[str, Any] | None:
        return self._seen(self._call(path, body, **headers))

    def _seen(self, answer: tuple[int, str, Any] | None) -> tuple[str, Any] | None:
        if answer is None:
            return None
        status, request, body = answer
        with self.ledger.lock:
            self.ledger.statuses[status] += 1
        return (request, body) if status == 200 else None

    def _new(self) -> str:
        return f"own-{self.number}-{self._random.randrange(10**12)}"

    def _create(self) -> None:
        domain = self._random.choice(tuple(DOMAINS))
        originals = [f"shared-{self._random.randrange(4000)}" for _ in range(10)] + [self._new() for _ in range(10)]
        answer = self._post(f"/v1/domains/{domain}/pseudonyms", {"originals": originals})
        if answer is not None:
            request, body = answer
            self.ledger.note_names(domain, originals, body["key_version"], body["pseudonyms"])
            self.ledger.note_effect(request, "site:pseudonym:issue", body["created"])

    def _additional(self) -> None:
        """A new request, or one whose answer was lost, or one that was answered before."""
        ledger = self.ledger
        with ledger.lock:
            lost = [(key, *entry) for key, entry in ledger.tried.items()][-5:]
            known = list(ledger.keyed)[-50:]
        kind = self._random.random()
        if lost and kind < 0.4:
            key, domain, originals = self._random.choice(lost)
        elif known and kind < 0.6:
            key = self._random.choice(known)
            domain, originals, _ = ledger.keyed[key]
        else:
            key, domain, originals = f"key-{self._random.randrange(10**15)}", "several", [self._new(), self._new()]
        with ledger.lock:
            if key not in ledger.keyed:
                ledger.tried[key] = (domain, originals)
        path = f"/v1/domains/{domain}/additional"
        answer = self._post(path, {"originals": originals, "count": 2}, **{"Idempotency-Key": key})
        if answer is not None:
            request, body = answer
            ledger.note_keyed(key, domain, originals, body["pseudonyms"])
            if not body["repeated"]:
                ledger.note_effect(request, "site:pseudonym:issue", 2 * len(originals))

    def _delete(self) -> None:
        domain = self._random.choice(("several", "drawn"))
        originals = [self._new() for _ in range(4)]
        made = self._post(f"/v1/domains/{domain}/pseudonyms", {"originals": originals})
        if made is None:
            return
        self.ledger.note_effect(made[0], "site:pseudonym:issue", made[1]["created"])
        texts = made[1]["pseudonyms"]
        with self.ledger.lock:
            self.ledger.unsure.update((domain, text) for text in texts)
        answer = self._post(f"/v1/domains/{domain}/delete", {"pseudonyms": texts})
        if answer is not None:
            with self.ledger.lock:
                self.ledger.unsure.difference_update((domain, text) for text in texts)
                self.ledger.deleted.extend((domain, text) for text in texts)
            self.ledger.note_effect(answer[0], "site:pseudonym:delete", answer[1]["rows"])
            if answer[1]["rows"] != len(texts):
                self.ledger.wrong.append("a delete of live pseudonyms changed other than their rows")

    def _rotate(self) -> None:
        if self._random.random() < 0.1:
            purpose = self._random.choice(("pseudonym", "data"))
            raw = self._operate("/v1/domains/turned/keys/rotate", {"purpose": purpose})
            if raw is not None and raw[2].get("code") == "rotation_under_way":
                self._end_rotation(raw[2]["where"])
            answer = self._seen(raw)
            if answer is not None and purpose == "pseudonym":
                with self.ledger.lock:
                    self.ledger.rotations += 1
                    self.ledger.effects.append((answer[0], "operator:key:rotate", 1))

    def _end_rotation(self, ident: str) -> None:
        """Whatever the last kill left: resumed, verified, its map read and acknowledged, finalized."""
        rotation = f"/v1/rotations/{ident}"
        self._operate(rotation + "/resume", None)
        shown = self._operate(rotation + "/verify", None)
        if shown is None or shown[0] != 200:
            return  # another worker is faster
        if shown[2]["purpose"] == "data":
            self._operate(rotation + "/finalize", None)
            return
        version = shown[2]["from_version"]
        found = self._call.lines(f"/v1/domains/turned/translations?from_version={version}")
        if not found or "old" in found[-1]:
            return
        pairs = "".join(f"{line['old']},{line['new']}\n" for line in found[:-1])
        self._call(rotation + "/acknowledgements", {"sha256": hashlib.sha256(pairs.encode()).hexdigest()})
        self._operate(rotation + "/finalize", None)


def compare(ledger: Ledger, connection: Connection, since: int = 0) -> int:
    """Ask the service for everything that the ledger holds from `since` on; returns how many pseudonyms were compared.

    Every acknowledged name is given again, or translates to the one given now; keyed answers repeat; deleted ones
    are unknown.
    """
    call = Caller(connection)
    compared = 0
    for domain in DOMAINS:
        names = [(o, texts) for (d, o), texts in list(ledger.names.items())[since:] if d == domain]
        for start in range(0, len(names), 20_000):
            part = names[start : start + 20_000]
            answer = call(f"/v1/domains/{domain}/pseudonyms", {"originals": [o for o, _ in part], "mode": "get"})
            assert answer is not None
            assert answer[0] == 200, answer
            now, version = answer[2]["pseudonyms"], answer[2]["key_version"]
            assert None not in now, "an acknowledged pseudonym is lost"
            old = [(text, current) for (_, texts), current in zip(part, now, strict=True) for text in texts.values()]
            same = [
                texts[version] == current for (_, texts), current in zip(part, now, strict=True) if version in texts
            ]
            assert all(same), "another pseudonym than was acknowledged"
            for begin in range(0, len(old), 50_000):
                piece = old[begin : begin + 50_000]
                moved = call(f"/v1/domains/{domain}/translate", {"pseudonyms": [text for text, _ in piece]})
                assert moved is not None
                assert moved[0] == 200, moved
                assert moved[2]["pseudonyms"] == [current for _, current in piece]
                compared += len(piece)
        gone = [text for d, text in ledger.deleted if d == domain]
        for start in range(0, len(gone), 50_000):
            checked = call(f"/v1/domains/{domain}/validate", {"pseudonyms": gone[start : start + 50_000]})
            assert checked is not None
            assert set(checked[2]["results"]) == {"unknown_pseudonym"}
    for key, (domain, originals, before) in list(ledger.keyed.items())[-300:]:
        again = call(
            f"/v1/domains/{domain}/additional", {"originals": originals, "count": 2}, **{"Idempotency-Key": key}
        )
        assert again is not None
        assert again[0] == 200, again
        assert (again[2]["pseudonyms"], again[2]["repeated"]) == (before, True)
    call.close()
    return compared


def require_distinct(ledger: Ledger) -> int:
    """No two originals share a pseudonym, over all domains and generations; returns how many there are."""
    owners: dict[str, tuple[str, str]] = {}
    for place, texts in ledger.names.items():
        for text in texts.values():
            assert owners.setdefault(text, place) == place, "one pseudonym for two originals"
    for domain, originals, answer in ledger.keyed.values():
        for original, texts in zip(originals, answer, strict=True):
            for text in texts:
                assert text not in owners, "one pseudonym twice"
                owners[text] = (domain, original)
    for domain, text in ledger.deleted:
        assert text not in owners, "one pseudonym twice"
        owners[text] = (domain, "")
    return len(owners)

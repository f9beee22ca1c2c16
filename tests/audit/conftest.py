"""Helpers for the log's tests: strict vector loader, fixed keys and clocks, logs in memory."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trustcenter.audit import MIGRATIONS, AuditLog
from trustcenter.store.migrations import statements

VECTORS = Path(__file__).parents[1] / "vectors" / "audit"


# Argument of a test → file, shape of a case by its kind (or its expectation), allowed expectations.
_SUITES: dict[str, tuple[str, dict[str, set[str]], set[str]]] = {
    "tree_case": (
        "tree.json",
        {
            "leaf": {"name", "kind", "leaf", "hash", "expect"},
            "node": {"name", "kind", "left", "right", "hash", "expect"},
            "root": {"name", "kind", "leaves", "hash", "expect"},
            "inclusion": {"name", "kind", "index", "size", "hash", "path", "root", "expect"},
            "consistency": {"name", "kind", "old", "new", "path", "old_root", "new_root", "expect"},
        },
        {"valid", "invalid"},
    ),
    "note_case": ("note.json", {"*": {"name", "vkey", "note", "expect"}}, {"verified", "rejected"}),
    "bundle2_case": (
        "bundle2.json",
        {"*": {"name", "fingerprint", "old_checkpoints", "witnesses", "quorum", "lines", "expect", "where"}},
        {"verified", "rejected"},
    ),
    "decisions_case": (
        "decisions.json",
        {"*": {"name", "decisions", "lines", "fingerprint", "expect", "where"}},
        {"verified", "rejected"},
    ),
    "edge_case": (
        "tree-edges.json",
        {
            "inclusion": {"name", "kind", "index", "size", "hash", "path", "root", "expect"},
            "consistency": {"name", "kind", "old", "new", "path", "old_root", "new_root", "expect"},
        },
        {"valid", "invalid"},
    ),
    "cosignature_case": (
        "cosignature.json",
        {"*": {"name", "vkey", "note", "expect", "time"}},
        {"cosigned", "absent", "rejected", "no witness"},
    ),
    "checkpoint_case": ("checkpoint.json", {"*": {"name", "text", "expect"}}, {"parsed", "rejected"}),
    "canonical_case": (
        "canonical.json",
        {"canonical": {"name", "value", "bytes", "expect"}, "rejected": {"name", "bytes", "expect"}},
        {"canonical", "rejected"},
    ),
    "bundle_case": (
        "bundle.json",
        {"*": {"name", "fingerprint", "old_checkpoints", "lines", "expect", "where"}},
        {"verified", "rejected"},
    ),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for `tree_case` each case of tree.json, and so on."""
    for argument, suite in _SUITES.items():
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, _load(*suite))


def _load(name: str, shapes: dict[str, set[str]], expects: set[str]) -> list[Any]:
    """The cases of a vector file. A case with unknown or missing keys, or an unknown expectation, is an error."""
    document = json.loads((VECTORS / name).read_text())
    assert set(document) == {"source", "cases"}
    names = [case["name"] for case in document["cases"]]
    assert len(set(names)) == len(names)
    for case in document["cases"]:
        shape = shapes.get(case.get("kind", case["expect"]), shapes.get("*"))
        assert shape is not None, case["name"]
        assert set(case) == shape, case["name"]
        assert case["expect"] in expects, case["name"]
    return [pytest.param(case, id=case["name"]) for case in document["cases"]]


class Ticking:
    """A clock that goes on by a millisecond per look, and can be set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def signer() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def make_log(clock: Ticking, signer: Ed25519PrivateKey) -> Callable[..., AuditLog]:
    def make(room: str = "registrar", key: Ed25519PrivateKey = signer, separation: str = "process") -> AuditLog:
        public = key.public_key().public_bytes_raw()
        return AuditLog(f"trustcenter/{'0f' * 16}/{room}", key.sign, public, clock=clock, separation=separation)

    return make


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """A database in memory with the log's tables, inside a transaction."""
    conn = sqlite3.connect(":memory:", isolation_level=None)
    for migration in MIGRATIONS:
        for statement in statements(migration.sql):
            conn.execute(statement)
    conn.execute("BEGIN")
    yield conn
    conn.close()

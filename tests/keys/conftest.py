"""Shared by the tests of keys: vectors, a canary for secrets, a cheap key store."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keys.ids import INSTANCE, KeyId, Purpose
from keys.kdf import CHEAP_FOR_TESTS
from keys.store import KeyStore

VECTORS = Path(__file__).parents[1] / "vectors" / "keys"
PASSPHRASE = b"correct horse battery staple"
DOMAIN = "00112233445566778899aabbccddeeff"
OTHER_DOMAIN = "ffeeddccbbaa99887766554433221100"


def load_vectors(name: str, fields: set[str], expects: set[str]) -> list[Any]:
    """The cases of a vector file as pytest parameters; unknown keys or expect words fail the collection."""
    document = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    assert set(document) == {"description", "cases"}, f"unknown keys in {name}"
    seen = set()
    for case in document["cases"]:
        assert set(case) == fields | {"name", "expect"}, f"unknown or missing keys in {name}: {case['name']}"
        assert case["expect"] in expects, f"unknown expect word in {name}: {case['name']}"
        seen.add(case["expect"])
    assert seen == expects, f"no case for {expects - seen} in {name}"
    return [pytest.param(case, id=case["name"]) for case in document["cases"]]


@pytest.fixture
def vectors() -> Callable[..., list[Any]]:
    return load_vectors


def everything_printable(error: BaseException) -> str:
    """Whatever a log could show of an error: text, repr, arguments, the traceback with local variables."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "\n".join([str(error), repr(error), repr(error.args), repr(vars(error)), *shown.format()])


def all_forms(secret: bytes) -> list[str]:
    """How bytes may appear in text: repr, hex, base64 (also of a part)."""
    return [
        repr(secret)[2:-1],
        secret.hex(),
        base64.b64encode(secret).decode()[:-4],
        base64.urlsafe_b64encode(secret).decode()[:-4],
    ]


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "keys.tcks"


@pytest.fixture
def store(store_path: Path) -> KeyStore:
    """A store with every key of one domain and the instance's message keys, version 1."""
    store = KeyStore.create(store_path, PASSPHRASE, kdf=CHEAP_FOR_TESTS)
    scope = f"domain:{DOMAIN}"
    store.add(
        [
            *(KeyId(scope, purpose, 1) for purpose in (Purpose.PSEUDONYM, Purpose.LOOKUP, Purpose.DATA)),
            *(KeyId(INSTANCE, purpose, 1) for purpose in (Purpose.AUDIT, Purpose.STATE, Purpose.RECEIPT)),
        ]
    )
    return store

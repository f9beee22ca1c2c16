"""Shared by the tests of keys: a cheap key store."""

from __future__ import annotations

from pathlib import Path

import pytest

from keys.ids import INSTANCE, KeyId, Purpose
from keys.kdf import CHEAP_FOR_TESTS
from keys.store import KeyStore

PASSPHRASE = b"correct horse battery staple"
DOMAIN = "00112233445566778899aabbccddeeff"


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "keys.tcks"


@pytest.fixture
def store(store_path: Path) -> KeyStore:
    """A store with every key of one domain and the instance's message keys, version 1; generation 2."""
    store = KeyStore.create(store_path, PASSPHRASE, kdf=CHEAP_FOR_TESTS)
    scope = f"domain:{DOMAIN}"
    store.add(
        [
            *(KeyId(scope, purpose, 1) for purpose in (Purpose.PSEUDONYM, Purpose.LOOKUP, Purpose.DATA)),
            *(KeyId(INSTANCE, purpose, 1) for purpose in (Purpose.AUDIT, Purpose.STATE, Purpose.RECEIPT)),
        ]
    )
    return store

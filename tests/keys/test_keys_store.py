"""The key store: vectors, life of keys, operations, purposes."""

import hmac
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from keys import _envelope
from keys.errors import (
    InvalidBatchError,
    InvalidKeyIdError,
    KeyDestroyedError,
    KeyExistsError,
    KeyPurposeError,
    KeysError,
    KeyStoreExistsError,
    KeyStoreNotFoundError,
    PassphraseError,
    SealError,
    SignatureError,
    UnknownKeyError,
    WrongPassphraseError,
)
from keys.ids import INSTANCE, KeyId, Purpose
from keys.kdf import CHEAP_FOR_TESTS, DEFAULT_KDF, RFC_9106_SECOND, STRONG, KdfProfile
from keys.personal import verify_ed25519
from keys.store import KeyStore

PASSPHRASE = b"correct horse battery staple"
DOMAIN = "00112233445566778899aabbccddeeff"
OTHER_DOMAIN = "ffeeddccbbaa99887766554433221100"
SCOPE = f"domain:{DOMAIN}"
FILE = Path(__file__).parents[1] / "vectors" / "keys" / "key-store.json"


def _vectors():
    document = json.loads(FILE.read_text())
    assert set(document) == {"description", "cases"}
    expects = {"opened", "wrong_passphrase", "key_store_damaged"}
    for case in document["cases"]:
        assert set(case) == {"name", "expect", "passphrase", "file", "answers"}
        assert case["expect"] in expects
    assert {case["expect"] for case in document["cases"]} == expects
    return [pytest.param(case, id=case["name"]) for case in document["cases"]]


@pytest.mark.parametrize("case", _vectors())
def test_vectors_of_the_key_store(case, store_path):
    store_path.write_bytes(bytes.fromhex(case["file"]))
    passphrase = case["passphrase"].encode()
    if case["expect"] != "opened":
        with pytest.raises(KeysError) as caught:
            KeyStore.open(store_path, passphrase)
        assert caught.value.code == case["expect"]
        assert caught.value.kind == "verification"
        return
    store = KeyStore.open(store_path, passphrase)
    answers = case["answers"]
    listed = [[e.id.scope, str(e.id.purpose), e.id.version, e.kcv, e.destroyed is not None] for e in store.entries()]
    assert listed == answers["entries"]
    assert store.tags(DOMAIN, 1, [b"original"])[0].hex() == answers["tag"]
    assert store.mac(INSTANCE, Purpose.AUDIT, 1, b"message").hex() == answers["mac"]
    assert store.sign(INSTANCE, Purpose.AUDIT, 1, b"message").hex() == answers["signature"]
    x = np.frombuffer(bytes(range(16)), np.uint8).reshape(1, 16)
    assert store.encipher(DOMAIN, 2, x).tobytes().hex() == answers["c"]
    with pytest.raises(KeyDestroyedError):
        store.encipher(DOMAIN, 1, x)


def test_changed_bytes_are_noticed_everywhere(store, store_path):
    file = store_path.read_bytes()
    for at in [*range(_envelope.HEADER_BYTES), *range(_envelope.HEADER_BYTES, len(file), 13), len(file) - 1]:
        store_path.write_bytes(file[:at] + bytes([file[at] ^ 0x40]) + file[at + 1 :])
        with pytest.raises(KeysError) as caught:
            KeyStore.open(store_path, PASSPHRASE)
        assert caught.value.code == "key_store_damaged"


def test_hostile_headers_are_refused_before_any_derivation(store, store_path, monkeypatch):
    calls = []
    monkeypatch.setattr(_envelope.kdf, "derive", lambda *a: calls.append(a))
    for case in json.loads(FILE.read_text())["cases"]:
        if case["name"] in {"a terabyte of memory", "four thousand million iterations", "much memory many times"}:
            store_path.write_bytes(bytes.fromhex(case["file"]))
            with pytest.raises(KeysError):
                KeyStore.open(store_path, PASSPHRASE)
    assert calls == []


def test_profiles_are_what_they_say():
    assert DEFAULT_KDF == RFC_9106_SECOND == KdfProfile(memory_kib=65536, iterations=3, lanes=4)
    assert STRONG.within_bounds()
    assert CHEAP_FOR_TESTS.within_bounds()
    assert not KdfProfile(2**20, 1, 1).within_bounds()


def test_the_default_profile_is_the_one_in_the_file(store_path):
    KeyStore.create(store_path, PASSPHRASE)
    assert _envelope.parse_header(store_path.read_bytes()).profile == RFC_9106_SECOND
    assert KeyStore.open(store_path, PASSPHRASE).generation == 1


def test_a_store_survives_closing(store, store_path):
    again = KeyStore.open(store_path, PASSPHRASE)
    assert again.entries() == store.entries()
    assert (again.store_id, again.generation) == (store.store_id, 2)
    assert again.tags(DOMAIN, 1, [b"a", b""]) == store.tags(DOMAIN, 1, [b"a", b""])


def test_file_modes_are_private_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        store = KeyStore.create(tmp_path / "keys", PASSPHRASE, kdf=CHEAP_FOR_TESTS)
        store.add([KeyId(INSTANCE, Purpose.AUDIT, 1)])
    finally:
        os.umask(old)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["keys", "keys.lock"]
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in tmp_path.iterdir())


def test_create_refuses_an_existing_file_and_leaves_it(store_path):
    store_path.write_bytes(b"something else")
    with pytest.raises(KeyStoreExistsError):
        KeyStore.create(store_path, PASSPHRASE, kdf=CHEAP_FOR_TESTS)
    assert store_path.read_bytes() == b"something else"


def test_create_refuses_a_dangling_link(store_path, tmp_path):
    store_path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyStoreExistsError):
        KeyStore.create(store_path, PASSPHRASE, kdf=CHEAP_FOR_TESTS)


def test_a_store_behind_a_link_is_saved_where_it_is(store, store_path, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(store_path)
    linked = KeyStore.open(link, PASSPHRASE)
    linked.add([KeyId(INSTANCE, Purpose.ISSUE, 1)])
    assert link.is_symlink()
    assert KeyStore.open(store_path, PASSPHRASE).has(KeyId(INSTANCE, Purpose.ISSUE, 1))


@pytest.mark.parametrize("passphrase", [b"", b"elevenbytes", b"x" * 1025])
def test_passphrases_have_a_length(store_path, passphrase):
    with pytest.raises(PassphraseError):
        KeyStore.create(store_path, passphrase, kdf=CHEAP_FOR_TESTS)
    assert not store_path.exists()


def test_a_missing_store_is_not_found(store_path):
    with pytest.raises(KeyStoreNotFoundError):
        KeyStore.open(store_path, PASSPHRASE)


def test_adding_is_all_or_nothing(store, store_path):
    before, file = store.entries(), store_path.read_bytes()
    new, old = KeyId(SCOPE, Purpose.PSEUDONYM, 2), KeyId(SCOPE, Purpose.DATA, 1)
    with pytest.raises(KeyExistsError):
        store.add([new, old])
    with pytest.raises(InvalidBatchError):
        store.add([new, new])
    assert (store.entries(), store_path.read_bytes()) == (before, file)
    store.add([])
    assert store.generation == 2


def test_a_destroyed_key_stays_as_an_entry_without_material(store, store_path):
    key = KeyId(SCOPE, Purpose.LOOKUP, 1)
    kcv = next(e.kcv for e in store.entries() if e.id == key)
    store.tags(DOMAIN, 1, [b"warm the cache"])
    store.destroy([key])
    for view in (store, KeyStore.open(store_path, PASSPHRASE)):
        entry = next(e for e in view.entries() if e.id == key)
        assert (entry.kcv, entry.destroyed is not None) == (kcv, True)
        assert not view.has(key)
        with pytest.raises(KeyDestroyedError):
            view.tags(DOMAIN, 1, [b"x"])
        with pytest.raises(KeyExistsError):
            view.add([key])


def test_destroying_is_repeatable_and_all_or_nothing(store):
    key = KeyId(SCOPE, Purpose.DATA, 1)
    store.destroy([key, key])
    generation, entries = store.generation, store.entries()
    store.destroy([key])
    assert (store.generation, store.entries()) == (generation, entries)
    with pytest.raises(UnknownKeyError):
        store.destroy([KeyId(SCOPE, Purpose.PSEUDONYM, 1), KeyId(SCOPE, Purpose.PSEUDONYM, 9)])
    assert store.has(KeyId(SCOPE, Purpose.PSEUDONYM, 1))


def test_the_passphrase_can_be_changed(store, store_path):
    tags = store.tags(DOMAIN, 1, [b"x"])
    old_file = store_path.read_bytes()
    store.change_passphrase(b"another good passphrase", kdf=KdfProfile(128, 2, 1))
    with pytest.raises(WrongPassphraseError):
        KeyStore.open(store_path, PASSPHRASE)
    again = KeyStore.open(store_path, b"another good passphrase")
    assert again.tags(DOMAIN, 1, [b"x"]) == tags
    again.add([KeyId(INSTANCE, Purpose.ISSUE, 1)])
    # The old salt is gone, so nothing derived for the old file fits the new one.
    assert _envelope.parse_header(old_file).salt != _envelope.parse_header(store_path.read_bytes()).salt


def test_every_save_has_a_nonce_of_its_own(store, store_path):
    nonces = set()
    for version in range(2, 22):
        store.add([KeyId(INSTANCE, Purpose.AUDIT, version)])
        nonces.add(_envelope.parse_header(store_path.read_bytes()).nonce)
    assert len(nonces) == 20
    assert store.generation == 22


def test_blocks_go_out_and_come_back(store):
    x = np.arange(160, dtype=np.uint8).reshape(10, 16)
    c = store.encipher(DOMAIN, 1, x)
    assert not np.array_equal(c, x)
    assert np.array_equal(store.decipher(DOMAIN, 1, c), x)
    store.add([KeyId(SCOPE, Purpose.PSEUDONYM, 2)])
    assert not np.array_equal(store.encipher(DOMAIN, 2, x), c)


def test_tags_are_hmac(store):
    originals = [b"", b"4711", bytes(1000), "Größe".encode()]
    material = store._entries[KeyId(SCOPE, Purpose.LOOKUP, 1)].material.reveal()
    assert store.tags(DOMAIN, 1, originals) == [hmac.digest(material, o, "sha256")[:16] for o in originals]


def test_sealed_values_open_only_in_their_place(store):
    nonces = [os.urandom(12) for _ in range(5)]
    texts = [b"", b"a", b"bb", bytes(100), b"d"]
    aads = [bytes([i]) for i in range(5)]
    sealed = store.seal(DOMAIN, 1, nonces, texts, aads)
    assert [len(s) for s in sealed] == [len(t) + 16 for t in texts]
    assert store.unseal(DOMAIN, 1, nonces, sealed, aads) == texts
    for at in range(5):
        changed = [*aads[:at], b"?", *aads[at + 1 :]]
        with pytest.raises(SealError) as caught:
            store.unseal(DOMAIN, 1, nonces, sealed, changed)
        assert caught.value.where == f"item {at}"
    with pytest.raises(SealError):
        store.unseal(DOMAIN, 1, nonces, [s[:-1] for s in sealed], aads)
    with pytest.raises(SealError):
        store.unseal(DOMAIN, 1, nonces, [b""] * 5, aads)


def test_batches_that_do_not_fit_are_refused(store):
    for nonces, texts, aads in [([bytes(12)], [], []), ([bytes(12)], [b"x"], []), ([bytes(11)], [b"x"], [b""])]:
        with pytest.raises(InvalidBatchError):
            store.seal(DOMAIN, 1, nonces, texts, aads)
        with pytest.raises(InvalidBatchError):
            store.unseal(DOMAIN, 1, nonces, texts, aads)


def test_macs_and_signatures(store):
    mac = store.mac(INSTANCE, Purpose.STATE, 1, b"m")
    store.verify_mac(INSTANCE, Purpose.STATE, 1, b"m", mac)
    for message, value in [(b"n", mac), (b"m", mac[:-1]), (b"m", b""), (b"m", bytes(32))]:
        with pytest.raises(SignatureError):
            store.verify_mac(INSTANCE, Purpose.STATE, 1, message, value)
    assert store.mac(INSTANCE, Purpose.AUDIT, 1, b"m") != mac
    signature = store.sign(INSTANCE, Purpose.AUDIT, 1, b"m")
    public = store.public_key(INSTANCE, Purpose.AUDIT, 1)
    verify_ed25519(public, b"m", signature)
    with pytest.raises(SignatureError):
        verify_ed25519(public, b"n", signature)
    with pytest.raises(SignatureError):
        verify_ed25519(store.public_key(INSTANCE, Purpose.RECEIPT, 1), b"m", signature)


@pytest.mark.parametrize("purpose", [Purpose.PSEUDONYM, Purpose.LOOKUP, Purpose.DATA])
def test_domain_keys_sign_and_authenticate_nothing(store, purpose):
    for call in (store.mac, store.sign):
        with pytest.raises(KeyPurposeError):
            call(SCOPE, purpose, 1, b"m")
    with pytest.raises(KeyPurposeError):
        store.public_key(SCOPE, purpose, 1)


def test_unknown_keys_say_so(store):
    x = np.zeros((1, 16), np.uint8)
    for call in (
        lambda: store.encipher(OTHER_DOMAIN, 1, x),
        lambda: store.decipher(DOMAIN, 2, x),
        lambda: store.tags(DOMAIN, 2, []),
        lambda: store.seal(OTHER_DOMAIN, 1, [], [], []),
        lambda: store.mac(INSTANCE, Purpose.ISSUE, 1, b""),
    ):
        with pytest.raises(UnknownKeyError):
            call()


@pytest.mark.parametrize(
    ("scope", "purpose", "version"),
    {
        "an upper-case scope": ("Instance", Purpose.AUDIT, 1),
        "an upper-case domain": (f"domain:{DOMAIN.upper()}", Purpose.DATA, 1),
        "a scope with a line break": (SCOPE + "\n", Purpose.DATA, 1),
        "a data key of the instance": ("instance", Purpose.DATA, 1),
        "a purpose as text": ("instance", "audit", 1),
        "version zero": (SCOPE, Purpose.DATA, 0),
        "a version that is true": (SCOPE, Purpose.DATA, True),
        "a pseudonym key beyond 255": (SCOPE, Purpose.PSEUDONYM, 256),
    }.values(),
)
def test_ids_that_no_key_can_have(scope, purpose, version):
    with pytest.raises(InvalidKeyIdError):
        KeyId(scope, purpose, version)


def test_threads_share_a_store(store):
    """Every operation from many threads, while keys are added and destroyed; answers as from one thread."""
    x = np.arange(16 * 200, dtype=np.uint16).astype(np.uint8).reshape(200, 16)
    originals = [b"%d" % i for i in range(200)]
    nonces = [os.urandom(12) for _ in originals]
    expected = (store.encipher(DOMAIN, 1, x).tobytes(), store.tags(DOMAIN, 1, originals))
    sealed = store.seal(DOMAIN, 1, nonces, originals, originals)

    def work(number):
        for _ in range(10):
            assert (store.encipher(DOMAIN, 1, x).tobytes(), store.tags(DOMAIN, 1, originals)) == expected
            assert store.seal(DOMAIN, 1, nonces, originals, originals) == sealed
            assert store.unseal(DOMAIN, 1, nonces, sealed, originals) == originals
        store.add([KeyId(INSTANCE, Purpose.ISSUE, number)])
        store.destroy([KeyId(INSTANCE, Purpose.ISSUE, number)])
        return True

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(1, 13)))
    assert store.generation == 2 + 24

"""Secret files: vectors, modes, never overwriting, fingerprints."""

import json
import os
import stat
from pathlib import Path

import pytest

from keys._guard import Secret
from keys.errors import KeysError, SecretFileError, SecretFileExistsError, SecretFilePermissionError
from keys.hybrid import RecipientKey
from keys.kdf import CHEAP_FOR_TESTS
from keys.personal import PersonalKey
from keys.secretfiles import SiteKey, StudySecret

PASSPHRASE = b"correct horse battery staple"
FILE = Path(__file__).parents[1] / "vectors" / "keys" / "secret-files.json"
KINDS = {k.KIND: k for k in (StudySecret, SiteKey, PersonalKey, RecipientKey)}


def _vectors():
    document = json.loads(FILE.read_text())
    assert set(document) == {"description", "cases"}
    expects = {"loaded", "unusable_passphrase", "wrong_passphrase", "secret_file", "secret_file_damaged"}
    for case in document["cases"]:
        assert set(case) == {"name", "expect", "kind", "text", "passphrase"}
        assert case["expect"] in expects
    assert {case["expect"] for case in document["cases"]} == expects
    return [pytest.param(case, id=case["name"]) for case in document["cases"]]


def _private(path, text):
    path.write_bytes(text.encode())
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("case", _vectors())
def test_vectors_of_secret_files(case, tmp_path):
    path = _private(tmp_path / "secret", case["text"])
    passphrase = None if case["passphrase"] is None else case["passphrase"].encode()
    kind = KINDS[case["kind"]]
    if case["expect"] == "loaded":
        loaded = kind.load(path, passphrase)
        secret = loaded._secret.reveal()
        assert secret == bytes(range(len(secret)))
        if "argon2id" not in case["text"]:
            loaded.save(tmp_path / "again")
            assert (tmp_path / "again").read_text() == case["text"]
    else:
        with pytest.raises(KeysError) as caught:
            kind.load(path, passphrase)
        assert caught.value.code == case["expect"]


@pytest.fixture(params=KINDS)
def thing(request):
    return StudySecret.generate("stroke", 3) if request.param == "study-secret" else KINDS[request.param].generate()


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_every_kind_comes_back(thing, tmp_path, passphrase):
    path = tmp_path / "secret"
    thing.save(path, passphrase, profile=CHEAP_FOR_TESTS)
    again = type(thing).load(path, passphrase)
    assert again._secret.reveal() == thing._secret.reveal()
    assert repr(again) == repr(thing)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_overwritten(thing, tmp_path):
    path = tmp_path / "secret"
    path.write_text("precious")
    with pytest.raises(SecretFileExistsError):
        thing.save(path)
    assert path.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]
    with pytest.raises(SecretFileError):
        thing.save(tmp_path / "no such directory" / "secret")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o644])
def test_a_file_that_others_can_use_is_refused(thing, tmp_path, mode):
    path = tmp_path / "secret"
    thing.save(path)
    path.chmod(mode)
    with pytest.raises(SecretFilePermissionError):
        type(thing).load(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_somebody_else_is_refused(thing, tmp_path):
    path = tmp_path / "secret"
    thing.save(path)
    os.chown(path, 65534, 65534)
    with pytest.raises(SecretFilePermissionError):
        type(thing).load(path)


def test_a_study_secret_travels_sealed(tmp_path):
    from keys import hybrid

    secret, site = StudySecret.generate("stroke", 1), RecipientKey.generate()
    info = b"trustcenter/study-secret/1\0stroke\x001"
    again = StudySecret.loads(site.open(hybrid.seal(site.public, secret.dumps(), info), info))
    assert (again.study, again.version, again.material) == ("stroke", 1, secret.material)
    assert again.fingerprint == secret.fingerprint


def test_fingerprints_of_study_secrets_depend_on_all_of_it():
    from keys._guard import Secret

    fingerprints = {
        StudySecret(study, version, Secret(secret)).fingerprint
        for study, version, secret in [
            ("a", 1, bytes(32)),
            ("a", 2, bytes(32)),
            ("b", 1, bytes(32)),
            ("a", 1, bytes(31) + b"\1"),
            ("a1", 1, bytes(32)),
            ("a", 11, bytes(32)),
        ]
    }
    assert len(fingerprints) == 6
    assert len(StudySecret.generate("a", 1).material) == len(SiteKey.generate().material) == 32


@pytest.mark.parametrize(("study", "version"), [("", 1), ("A", 1), ("a b", 1), ("a" * 64, 1), ("a\n", 1), ("a", 0)])
def test_impossible_studies_are_refused(study, version):
    with pytest.raises(SecretFileError):
        StudySecret.generate(study, version)


def test_the_fingerprint_of_a_site_key_is_that_of_the_spec():
    key = SiteKey(Secret(bytes(range(32))))
    assert key.fingerprint("uk-nord") == "74YA-CLE9-5JED-D5ER-H6JN"
    assert key.fingerprint("uk-sued") != "74YA-CLE9-5JED-D5ER-H6JN"

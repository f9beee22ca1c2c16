"""Signed notes, verifier keys and checkpoints, strictly."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trustcenter.audit import canonical, note, verify_log
from trustcenter.errors import VerificationError


def test_note_vectors(note_case: dict[str, Any]) -> None:
    case = note_case
    if case["expect"] == "verified":
        key = note.parse_vkey(case["vkey"])
        assert key.vkey == case["vkey"]
        text = note.open_note(case["note"], [key])
        assert case["note"].startswith(text + "\n\u2014 ")
    else:
        with pytest.raises(VerificationError):
            note.open_note(case["note"], [note.parse_vkey(case["vkey"])])


def test_checkpoint_vectors(checkpoint_case: dict[str, Any]) -> None:
    case = checkpoint_case
    if case["expect"] == "parsed":
        found = note.parse_checkpoint(case["text"])
        assert found.text == case["text"]
        assert verify_log.read_head(case["text"]) == (found.origin, found.size, found.root, list(found.extensions))
    else:
        with pytest.raises(VerificationError):
            note.parse_checkpoint(case["text"])
        with pytest.raises(ValueError):
            verify_log.read_head(case["text"])


@pytest.mark.parametrize("word", ["none", "process", "operator"])
def test_a_head_tells_its_separation(word: str) -> None:
    lines = (f"separation {word}", "another line")
    assert note.Checkpoint("log/1", 1, bytes(32), lines).separation == word
    assert note.Checkpoint("log/1", 1, bytes(32)).separation == ""


def test_two_known_keys_and_one_wrong_signature_reject_the_note() -> None:
    one, two = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
    keys = [note.Key(f"log/{n}", key.public_key().public_bytes_raw()) for n, key in enumerate((one, two))]
    good = note.sign_note("text\n", keys[0], one.sign)
    both = good + note.sign_note("text\n", keys[1], two.sign).split("\n\n")[1]
    assert note.open_note(both, keys) == "text\n"
    spoiled = good + note.sign_note("text\n", keys[1], one.sign).split("\n\n")[1]
    assert note.open_note(spoiled, keys[:1]) == "text\n"
    with pytest.raises(VerificationError):
        note.open_note(spoiled, keys)


@pytest.mark.parametrize("text", ["", "\n", "no end", "tab\there\n", "nul\0\n", "surrogate \ud800\n"])
def test_texts_that_cannot_be_signed(text: str) -> None:
    with pytest.raises(VerificationError):
        note.sign_note(text, note.Key("log/1", bytes(32)), lambda _: bytes(64))


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\u2003b", "a\nb", "a\x7f\x01"])
def test_names_that_keys_cannot_have(name: str) -> None:
    with pytest.raises(VerificationError):
        note.sign_note("text\n", note.Key(name, bytes(32)), lambda _: bytes(64))


def test_too_many_signatures_are_refused() -> None:
    signer = Ed25519PrivateKey.from_private_bytes(bytes(32))
    key = note.Key("log/1", signer.public_key().public_bytes_raw())
    signed = note.sign_note("text\n", key, signer.sign)
    line = signed.split("\n\n")[1]
    assert note.open_note(signed + line * 15, [key]) == "text\n"
    with pytest.raises(VerificationError):
        note.open_note(signed + line * 100, [key])


def test_a_checkpoint_of_another_log_is_refused() -> None:
    signer = Ed25519PrivateKey.from_private_bytes(bytes(32))
    key = note.Key("log/1", signer.public_key().public_bytes_raw())
    text = note.Checkpoint("log/2", 1, bytes(32)).text
    with pytest.raises(VerificationError):
        note.open_checkpoint(note.sign_note(text, key, signer.sign), key)


def test_fingerprints_are_read_as_people_type_them() -> None:
    vkey = note.Key("log/1", bytes(range(32))).vkey
    printed = note.fingerprint(vkey)
    assert len(printed) == 39
    for typed in (printed, printed.upper(), printed.replace("-", " "), f" {printed.replace('-', ':')}\n"):
        note.check_fingerprint(vkey, typed)
    for typed in (
        "",
        printed[:4],
        printed[:-1],
        printed + "0",
        "0000" + printed[4:] if printed[0] != "0" else "1" + printed[1:],
    ):
        with pytest.raises(VerificationError):
            note.check_fingerprint(vkey, typed)


def test_canonical_vectors(canonical_case: dict[str, Any]) -> None:
    case = canonical_case
    raw = case["bytes"].encode()
    if case["expect"] == "canonical":
        assert canonical.encode(case["value"]) == raw
        assert canonical.decode(raw) == case["value"]
    else:
        with pytest.raises(ValueError):
            canonical.decode(raw)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1.0,
        float("nan"),
        b"x",
        (1,),
        {1: 2},
        {"A": 1},
        {"a": "\ud800"},
        2**53 + 1,
        {"a": {"b": None}},
        {1, 2},
    ],
    ids=repr,
)
def test_values_outside_the_subset(value: object) -> None:
    with pytest.raises(ValueError) as caught:
        canonical.encode(value)
    assert "ud800" not in str(caught.value)


def test_the_single_file_says_what_it_needs() -> None:
    """On a Python that has nothing but itself."""
    command = [sys.executable, "-I", "-S", verify_log.__file__, "registrar.zip"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (
        1,
        "this needs the package cryptography: python3 -m pip install cryptography\n",
    )

"""Personal and recipients' keys, and opening sealed maps: all without a service."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from letter_support import Registrar

from keys import hybrid, personal
from keys.hybrid import RecipientKey
from trustcenter.client.study.joinmap import seal_info

Cli = Callable[..., Any]
RELEASE = "ab" * 16
CENTRE = Registrar()
CSV = b"site,study_pseudonym,person\nnorth,A,P\nsouth,B,P\n"


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text("correct horse battery\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(("group", "word"), [("staff", "tc-person-1:"), ("recipient", "tc-recipient-1:")])
def test_a_new_key_is_private_and_shows_its_public_half(
    cli: Cli, tmp_path: Path, passphrase: Path, group: str, word: str
) -> None:
    for name, protection in (("a.key", ["--passphrase-file", passphrase]), ("b.key", ["--no-passphrase"])):
        path = tmp_path / name
        done = cli(group, "keygen", "-o", path, *protection)
        assert done.code == 0
        assert done.out.startswith(word)
        assert done.out.count("\n") == 1
        assert "fingerprint" in done.err
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        before = path.read_bytes()
        assert cli(group, "keygen", "-o", path, *protection).code == 1
        assert path.read_bytes() == before


@pytest.mark.parametrize("group", ["staff", "recipient"])
def test_without_a_terminal_a_passphrase_must_be_named(cli: Cli, tmp_path: Path, group: str) -> None:
    done = cli(group, "keygen", "-o", tmp_path / "a.key")
    assert done.code == 1
    assert "[passphrase_needed]" in done.err
    assert not (tmp_path / "a.key").exists()


def test_an_exposed_passphrase_file_is_refused(cli: Cli, tmp_path: Path, passphrase: Path) -> None:
    passphrase.chmod(0o644)
    done = cli("staff", "keygen", "-o", tmp_path / "a.key", "--passphrase-file", passphrase)
    assert done.code == 1
    assert "correct horse" not in done.err
    assert not (tmp_path / "a.key").exists()


@pytest.fixture
def sealed(cli: Cli, tmp_path: Path, passphrase: Path) -> Path:
    public = cli("recipient", "keygen", "-o", tmp_path / "dms.key", "--passphrase-file", passphrase).out.strip()
    path = tmp_path / "joinmap.sealed"
    box = hybrid.seal(public, CSV, seal_info("sepsis", RELEASE))
    path.write_bytes(CENTRE.letter("join-map", "sepsis", RELEASE, box).encode() + b"\n" + box)
    return path


def unseal(cli: Cli, sealed: Path, *more: str | Path, **other: str) -> Any:
    asked = {"study": "sepsis", "release": RELEASE, "log-key": CENTRE.fingerprint, **other}
    return cli(
        *("recipient", "open", sealed, "--key", sealed.with_name("dms.key"), "-o", sealed.with_name("joinmap.csv")),
        *(part for name, value in asked.items() for part in (f"--{name}", value)),
        *(more or ("--passphrase-file", sealed.with_name("passphrase"))),
    )


def test_a_sealed_map_opens_for_its_recipient(cli: Cli, sealed: Path) -> None:
    done = unseal(cli, sealed)
    assert done.code == 0
    assert "2 records" in done.err
    opened = sealed.with_name("joinmap.csv")
    assert opened.read_bytes() == CSV
    assert stat.S_IMODE(opened.stat().st_mode) == 0o600
    assert "[output_exists]" in unseal(cli, sealed).err


def test_a_sealed_map_opens_for_nothing_else(cli: Cli, sealed: Path) -> None:
    opened = sealed.with_name("joinmap.csv")
    wrong = sealed.with_name("wrong")
    wrong.write_text("another passphrase\n")
    wrong.chmod(0o600)
    done = unseal(cli, sealed, "--passphrase-file", wrong)
    assert (done.code, "[wrong_passphrase]" in done.err) == (3, True)
    assert "another" not in done.err
    assert unseal(cli, sealed, study="other").code == 3
    assert unseal(cli, sealed, release="cd" * 16).code == 3
    asked = cli(
        *("recipient", "open", sealed, "--key", sealed.with_name("dms.key"), "-o", opened),
        *("--study", "sepsis", "--release", RELEASE, "--log-key", CENTRE.fingerprint),
    )
    assert "[passphrase_needed]" in asked.err
    whole = sealed.read_bytes()
    for damaged in (whole[:-1], whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:], whole + b"x", b""):
        sealed.write_bytes(damaged)
        assert unseal(cli, sealed).code == 3
    assert not opened.exists()


def test_a_map_that_the_registrar_did_not_sign_is_refused(cli: Cli, sealed: Path) -> None:
    """Whoever knows the recipient's public key can seal a map to it, and knows of every letter that was ever sent."""
    said, _, box = sealed.read_bytes().partition(b"\n")
    public = RecipientKey.load(sealed.with_name("dms.key"), b"correct horse battery").public
    forged = hybrid.seal(public, CSV.replace(b"B,P", b"B,Q"), seal_info("sepsis", RELEASE))
    foreign = Registrar()
    comparator = Registrar("comparator")
    cases = (
        (box, "unsigned", {}),
        (said + b"\n" + forged, "not_from_registrar", {}),
        (foreign.letter("join-map", "sepsis", RELEASE, forged).encode() + b"\n" + forged, "wrong_log_key", {}),
        (CENTRE.letter("changes", "sepsis", RELEASE, box).encode() + b"\n" + box, "not_from_registrar", {}),
        (CENTRE.letter("join-map", "sepsis", "cd" * 16, box).encode() + b"\n" + box, "not_from_registrar", {}),
        (CENTRE.letter("join-map", "other", RELEASE, box).encode() + b"\n" + box, "not_from_registrar", {}),
        (said.replace(b'"uni"', b'"evil"') + b"\n" + box, "not_from_registrar", {}),
        (
            comparator.letter("join-map", "sepsis", RELEASE, box).encode() + b"\n" + box,
            "not_from_registrar",
            {"log-key": comparator.fingerprint},
        ),
    )
    for content, code, other in cases:
        sealed.write_bytes(content)
        done = unseal(cli, sealed, **other)
        assert (done.code, f"[{code}]" in done.err) == (3, True), (code, done.err)
        assert not sealed.with_name("joinmap.csv").exists()
    # A key that the log was handed over to signs as well; one that it never had does not.
    CENTRE.rotate()
    CENTRE.rotate()
    later = CENTRE.letter("join-map", "sepsis", RELEASE, box)
    sealed.write_bytes(later.encode() + b"\n" + box)
    assert unseal(cli, sealed).code == 0
    sealed.with_name("joinmap.csv").unlink()
    sealed.write_bytes(said + b"\n" + box)  # signed before the rotation
    assert unseal(cli, sealed).code == 0
    sealed.with_name("joinmap.csv").unlink()
    cut = msgspec.json.decode(later)
    cut["handovers"] = cut["handovers"][:1]
    sealed.write_bytes(msgspec.json.encode(cut) + b"\n" + box)
    assert "[not_from_registrar]" in unseal(cli, sealed).err


def test_another_key_is_told_apart(cli: Cli, sealed: Path, passphrase: Path) -> None:
    sealed.with_name("dms.key").unlink()
    assert cli("recipient", "keygen", "-o", sealed.with_name("dms.key"), "--passphrase-file", passphrase).code == 0
    assert unseal(cli, sealed).code == 3
    sealed.with_name("dms.key").unlink()
    assert cli("staff", "keygen", "-o", sealed.with_name("dms.key"), "--passphrase-file", passphrase).code == 0
    done = unseal(cli, sealed)
    assert (done.code, "[secret_file]" in done.err) == (1, True)


def test_a_personal_key_signs_what_its_public_half_verifies(cli: Cli, tmp_path: Path, passphrase: Path) -> None:
    from trustcenter.cli.secret_input import personal_key

    public = cli("staff", "keygen", "-o", tmp_path / "a.key", "--passphrase-file", passphrase).out.strip()
    signature = personal_key(tmp_path / "a.key", passphrase).sign("context/1", b"statement")
    personal.verify(public, "context/1", b"statement", signature)

"""The tables of keys are complete: a row for each purpose that an instance makes, each kind of secret file, the others.

And what they send the reader to exists: commands of the program, pages.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from keys import hybrid, personal, secretfiles
from keys.ids import DOMAIN_PURPOSES, Purpose
from trustcenter.instance import setup

DOCS = Path(__file__).parents[2] / "docs"
LEAKS = (DOCS / "security" / "keys.md").read_text(encoding="utf-8")
ROTATIONS = (DOCS / "how-to" / "rotate-keys.md").read_text(encoding="utf-8")
MADE = sorted({*DOMAIN_PURPOSES, *(purpose for made in setup.KEYS.values() for purpose in made)})


def keys_of(page: str) -> list[str]:
    """The first cells of the first table of a page."""
    table = page[page.index("| key |") :].split("\n\n")[0]
    return [line.split("|")[1].strip() for line in table.splitlines()[2:]]


def test_what_is_not_made_is_reserved() -> None:
    assert set(Purpose) - set(MADE) == {Purpose.TRANSPORT, Purpose.ISSUE}


@pytest.mark.parametrize("purpose", MADE)
def test_every_key_of_an_instance_says_what_it_protects_and_how_it_is_rotated(purpose: Purpose) -> None:
    assert any(key.startswith(f"{purpose} key") for key in keys_of(LEAKS))
    assert any(key.startswith(f"{purpose} key") for key in keys_of(ROTATIONS))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (secretfiles.StudySecret.KIND, "study secret"),
        (secretfiles.SiteKey.KIND, "site key"),
        (hybrid.RecipientKey.KIND, "recipient's key"),
        (personal.PersonalKey.KIND, "personal key"),
        ("passphrase", "passphrase of the key stores"),
        ("inner key", "inner key H"),
        ("recovery", "recovery key"),
        ("witness", "witness key"),
        ("tls/server.key", "tls/server.key"),
        ("tls/ca.key", "tls/ca.key"),
        ("tls/peer.key", "tls/peer.key"),
        ("token", "access token"),
    ],
)
def test_every_other_secret_says_what_it_protects(kind: str, words: str) -> None:
    assert any(words in key for key in keys_of(LEAKS)), kind


def test_every_row_says_what_heals_it() -> None:
    table = LEAKS[LEAKS.index("| key |") :].split("\n\n")[0]
    for line in table.splitlines()[2:]:
        assert line.rstrip("|").split("|")[-1].strip(), line

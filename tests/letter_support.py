"""A registrar that signs letters, without a service: its log's keys, one after the other; and the vectors.

PYTHONPATH=. python tests/letter_support.py writes tests/vectors/audit/letter.json anew. Keys are fixed and Ed25519
draws nothing: the same bytes come out each time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trustcenter.audit import letter
from trustcenter.audit.chain import open_chain, sign_handover
from trustcenter.audit.note import Checkpoint, Key, fingerprint

FILE = Path(__file__).parent / "vectors" / "audit" / "letter.json"
SEALED = b"sealed"
SHA256 = hashlib.sha256(SEALED).hexdigest()


class Registrar:
    """Signs for sealed files."""

    def __init__(self, room: str = "registrar", keys: Iterator[Ed25519PrivateKey] | None = None) -> None:
        self.origin = f"trustcenter/{'ab' * 16}/{room}"
        self._keys = iter(Ed25519PrivateKey.generate, None) if keys is None else keys
        self._signs = next(self._keys)
        self._key = self.first = Key(self.origin, self._signs.public_key().public_bytes_raw())
        self._handovers: list[str] = []

    @property
    def fingerprint(self) -> str:
        """What was printed when the instance was made."""
        return fingerprint(self.first.vkey)

    def rotate(self) -> None:
        """Another key signs from now on."""
        signs = next(self._keys)
        key = Key(self.origin, signs.public_key().public_bytes_raw())
        point = Checkpoint(self.origin, 10 * (len(self._handovers) + 1), bytes(32))
        self._handovers.append(sign_handover(point, self._key, self._signs.sign, key, signs.sign))
        self._key, self._signs = key, signs

    def letter(self, kind: letter.Kind, study: str, name: str, sealed: bytes, recipient: str = "uni") -> str:
        """The letter of a sealed file."""
        about = letter.Sealed(kind, study, name, hashlib.sha256(sealed).hexdigest())
        return letter.write(open_chain(self.first, self._handovers), self._signs.sign, about, recipient)


def made() -> dict[str, Any]:
    """The document."""
    keys = (Ed25519PrivateKey.from_private_bytes(bytes([n] * 32)) for n in range(1, 4))
    centre = Registrar(keys=keys)
    known = centre.fingerprint
    first = json.loads(centre.letter("changes", "hearts", "7", SEALED))
    centre.rotate()
    second = json.loads(centre.letter("changes", "hearts", "7", SEALED))

    def case(title: str, expect: str, letter: dict[str, Any], **other: str) -> dict[str, Any]:
        about = {"kind": "changes", "study": "hearts", "name": "7", "sha256": SHA256, "fingerprint": known}
        return {"case": title, "expect": expect, **about, **other, "letter": letter}

    return {
        "description": "Letters of a registrar (docs/spec/letter.md): what a reader expects, and what becomes of it.",
        "statement": "".join(f"{line}\n" for line in (
            "trustcenter/letter/1", centre.origin, "changes", "hearts", "uni", "7", SHA256)),
        "cases": [
            case("signed by the first key", "verified", first),
            case("signed by the second key", "verified", second),
            case("another kind", "not_from_registrar", first, kind="join-map"),
            case("another study", "not_from_registrar", first, study="lungs"),
            case("another number", "not_from_registrar", first, name="8"),
            case("another file", "not_from_registrar", first, sha256="0" * 64),
            case("another recipient", "not_from_registrar", {**first, "recipient": "uni-2"}),
            case("another log", "wrong_log_key", first, fingerprint="0000-" * 7 + "0000"),
            case("without the handover", "not_from_registrar", {**second, "handovers": []}),
            case("with a handover too many", "not_from_registrar", {**first, "handovers": second["handovers"]}),
            case("a signature of another length", "not_from_registrar", {**first, "signature": "AAAA"}),
            case("a signature that is no base64", "not_from_registrar", {**first, "signature": "!"}),
            case("a key that is none", "not_from_registrar", {**first, "vkey": "x"}),
            case("another version", "unsigned", {**first, "format": "trustcenter/letter/2"}),
            case("a field more", "unsigned", {**first, "more": 1}),
        ],
    }  # fmt: skip


if __name__ == "__main__":
    FILE.write_text(json.dumps(made(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

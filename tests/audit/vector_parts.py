"""What vectors of the log are put together from, after the specifications alone: nothing of the program is imported."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HERE = Path(__file__).parents[1] / "vectors" / "audit"
ORIGIN = f"trustcenter/{'0f' * 16}/registrar"
COMPARATOR = f"trustcenter/{'0f' * 16}/comparator"
SITE = f"trustcenter/{'0f' * 16}/site/uk-nord"
EMPTY = hashlib.sha256(b"").digest()
TIME = 1_795_766_400


def key(first: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(first, first + 32)))


ONE, TWO, THREE, WITNESS, OTHER = key(0), key(32), key(64), key(100), key(132)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def public(who: Ed25519PrivateKey) -> bytes:
    return who.public_key().public_bytes_raw()


def key_id(name: str, kind: int, raw: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + raw).digest()[:4]


def vkey(name: str, who: Ed25519PrivateKey, kind: int = 1) -> str:
    return f"{name}+{key_id(name, kind, public(who)).hex()}+{b64(bytes([kind]) + public(who))}"


def mark(text: str) -> str:
    digits = hashlib.sha256(text.encode()).hexdigest()[:32]
    return "-".join(digits[at : at + 4] for at in range(0, 32, 4))


def line(name: str, ident: bytes, signature: bytes) -> str:
    return f"\u2014 {name} {b64(ident + signature)}\n"


def note(text: str, *signers: Ed25519PrivateKey, name: str = ORIGIN) -> str:
    return text + "\n" + "".join(line(name, key_id(name, 1, public(k)), k.sign(text.encode())) for k in signers)


def root(hashes: list[bytes]) -> bytes:
    if len(hashes) < 2:
        return hashes[0] if hashes else EMPTY
    cut = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root(hashes[:cut]) + root(hashes[cut:])).digest()


def head(size: int, top: bytes, *more: str, origin: str = ORIGIN) -> str:
    return "\n".join((origin, str(size), b64(top), *more)) + "\n"


def cosigned(over: str, who: Ed25519PrivateKey = WITNESS, said: int = TIME, name: str = SITE, **other: Any) -> str:
    kind, told = other.get("kind", 4), other.get("told", said)
    signed = f"{other.get('magic', 'cosignature/v1')}\ntime {told}\n{other.get('text', over)}".encode()
    return line(name, key_id(name, kind, public(who)), struct.pack(">Q", said) + who.sign(signed))


def write(name: str, source: str, cases: list[dict[str, Any]]) -> None:
    names = [case["name"] for case in cases]
    assert len(set(names)) == len(names)
    text = json.dumps({"source": source, "cases": cases}, ensure_ascii=False, indent=1)
    (HERE / name).write_text(text + "\n")

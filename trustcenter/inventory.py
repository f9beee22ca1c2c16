"""The cryptography in use: found in the code itself, explained here.

`where` is read from the sources, so that it cannot go stale; a primitive in the code that nothing here explains, or an
explanation without code, is an error. CI compares the page in docs/reference with what this gives.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trustcenter.errors import InternalError

PACKAGES: Final = ("keys", "linkage", "trustcenter")
_SAFE: Final = "stays: symmetric, 256-bit keys leave 128 bits against Grover"
_SIGNS: Final = "ML-DSA (FIPS 204) beside Ed25519 once checkpoints and witnesses carry it; BSI TR-02102-1: by 2035"


@dataclass(frozen=True)
class Item:
    """One algorithm.

    Attributes:
        algorithm: name and parameters.
        use: what it is for.
        where: directories of source files, found by reading them.
        why: of the choice.
        deviation: from common rules, named; "" if none.
        after_quantum: what follows.
    """

    algorithm: str
    use: str
    where: tuple[str, ...]
    why: str
    deviation: str
    after_quantum: str


# Words that a source file uses it by: names from `cryptography`, or "module.attribute".
_KNOWN: Final[tuple[tuple[tuple[str, ...], tuple[str, str, str, str, str]], ...]] = (
    (
        ("AESGCM",),
        (
            "AES-256-GCM, 96-bit nonces",
            "seals key stores, secret files, originals, stored strings and the payload of sealed messages",
            "NIST SP 800-38D. Nonces are random, or a row's serial and nonce, which never repeat",
            "",
            _SAFE,
        ),
    ),
    (
        ("modes.ECB",),
        (
            "AES-256 as a permutation of single blocks (mode ECB)",
            "suite computed, under a key of each store; linkage: pseudorandom bits from unique counters",
            "encode-then-encipher of unique blocks: no pseudonym is stored, and rotation rewrites nothing",
            "OWASP ASVS 5.0, 11.3.1, disallows ECB without exception; a domain that may not deviate uses suite drawn",
            _SAFE,
        ),
    ),
    (
        ("Argon2id",),
        (
            "Argon2id, RFC 9106 second recommended option (64 MiB, 3 passes, 4 lanes) or stronger",
            "keys from passphrases: key stores and secret files",
            "RFC 9106; memory-hard",
            "",
            "stays: bounded by the passphrase",
        ),
    ),
    (
        ("HKDFExpand",),
        (
            "HKDF-Expand-SHA-256",
            "sub-keys of one purpose, never one that outlives its parent; proofs of study secrets; keys of cards",
            "RFC 5869, labels of a fixed form",
            "",
            _SAFE,
        ),
    ),
    (
        ("hmac",),
        (
            "HMAC-SHA-256",
            "lookup tags (128 bits), commitments in the log, MACs of key states, record numbers and refs",
            "RFC 2104; keys of 256 random bits, so that an enumerable original cannot be tried",
            "",
            _SAFE,
        ),
    ),
    (
        ("hashlib.sha256", "hashlib.file_digest", "SHA256"),
        (
            "SHA-256",
            "log trees (RFC 6962), digests of files, fingerprints, access tokens of 256 random bits",
            "FIPS 180-4; never over an identifier without a key",
            "",
            "stays",
        ),
    ),
    (
        ("hashlib.shake_256",),
        (
            "SHAKE-256",
            "rounding of small cells in tables that a site shares: the same table is rounded the same way every time",
            "FIPS 202; as a stream of bytes from the table itself, no secret",
            "",
            "stays",
        ),
    ),
    (
        ("hashlib.blake2b",),
        (
            "keyed BLAKE2b",
            "linkage check: counts of equal values in one run at the site, under a key of that run",
            "faster than HMAC for many short values; never leaves the process",
            "",
            _SAFE,
        ),
    ),
    (
        ("Ed25519PrivateKey", "Ed25519PublicKey"),
        (
            "Ed25519",
            "checkpoints, letters, handovers of audit and receipt keys, outside head, receipts; approvals, cards",
            "RFC 8032; small-order keys are refused",
            "",
            _SIGNS,
        ),
    ),
    (
        ("hpke", "MLKEM768PrivateKey", "MLKEM768PublicKey", "X25519PrivateKey", "X25519PublicKey"),
        (
            "HPKE base mode (RFC 9180) with MLKEM768-X25519, HKDF-SHA-256, AES-256-GCM",
            "join maps, translation maps, study secrets, sealed to sites and recipients; site keys, to recovery keys",
            "secret if either ML-KEM-768 or X25519 holds: what is recorded today stays secret",
            "base mode authenticates no sender: where the sender matters, the content or its hash is signed",
            "in place already; X25519 may be dropped",
        ),
    ),
    (
        ("os.urandom", "secrets"),
        (
            "the kernel's random numbers",
            "keys, nonces, salts, tokens, names of temporary files; never a generator in user space",
            "a copied process or machine must not repeat a nonce",
            "",
            "stays",
        ),
    ),
    (
        ("ssl", "x509", "ec"),
        (
            "TLS 1.2 or newer, certificates with ECDSA P-256",
            "transport; client certificates",
            "what the Python and OpenSSL of the machine offer; TLS 1.3 is preferred",
            "",
            "hybrid key exchange (X25519MLKEM768) comes with OpenSSL 3.5; nothing long-lived rests on TLS alone",
        ),
    ),
)
# Not primitives: exceptions, encodings, names of fields.
_IGNORED: Final = frozenset(
    {
        "Cipher",
        "Encoding",
        "ExtendedKeyUsage",
        "ExtendedKeyUsageOID",
        "InvalidSignature",
        "InvalidTag",
        "NameOID",
        "algorithms",
        "hashes",
        "modes",
        "serialization",
    }
)


def _words(tree: ast.AST) -> Iterator[str]:
    """What a source file uses, in the words of the table."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cryptography":
            yield from (alias.name for alias in node.names if alias.name not in _IGNORED)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in ("hmac", "secrets", "ssl"))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if node.value.id in ("hashlib", "modes") or name == "os.urandom":
                yield name


def found() -> dict[str, tuple[str, ...]]:
    """Word → the directories whose files use it.

    Raises:
        InternalError: the code uses something that this module does not explain.
    """
    root = Path(__file__).parents[1]
    where: dict[str, set[str]] = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            for word in _words(ast.parse(path.read_text(encoding="utf-8"))):
                where.setdefault(word, set()).add(path.relative_to(root).parent.as_posix())
    known = {word for words, _ in _KNOWN for word in words}
    if not where.keys() <= known:
        raise InternalError(f"cryptography without an explanation: {', '.join(sorted(where.keys() - known))}")
    return {word: tuple(sorted(files)) for word, files in where.items()}


def items() -> list[Item]:
    """Every algorithm in use, in the order of the table."""
    where = found()
    result = []
    for words, (algorithm, use, why, deviation, after) in _KNOWN:
        files = tuple(sorted({file for word in words for file in where.get(word, ())}))
        if files:
            result.append(Item(algorithm, use, files, why, deviation, after))
    return result


def unused() -> list[str]:
    """Algorithms that are explained and that no code uses."""
    where = found()
    return [texts[0] for words, texts in _KNOWN if not any(word in where for word in words)]


def page() -> str:
    """docs/reference/crypto-inventory.md."""
    lines = [
        "# Cryptography in use",
        "",
        "Made from the code by `trustcenter keys inventory --markdown`; a test compares this page with it.",
    ]
    for item in items():
        lines += [
            "",
            f"## {item.algorithm}",
            "",
            f"* Use: {item.use}",
            f"* Why: {item.why}",
            f"* Deviation: {item.deviation or 'none'}",
            f"* After quantum computers: {item.after_quantum}",
            f"* Where: {', '.join(f'`{file}`' for file in item.where)}",
        ]
    return "\n".join(lines) + "\n"

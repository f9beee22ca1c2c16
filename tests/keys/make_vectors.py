"""Write the vector files of tests/vectors/keys anew: python tests/keys/make_vectors.py.

What is drawn at random (nonces, key encapsulation) differs from run to run; the committed files are the
reference that later versions must still read.
"""

import json
import secrets
import tempfile
from pathlib import Path

import numpy as np

from keys import _envelope, _secretfile, _text, computed, hybrid, personal
from keys._guard import Secret
from keys.ids import INSTANCE, KeyId, Purpose
from keys.kdf import CHEAP_FOR_TESTS
from keys.secretfiles import SiteKey, StudySecret
from keys.store import KeyStore

OUT = Path(__file__).parents[1] / "vectors" / "keys"
H, KV = bytes(range(32)), bytes(range(0x40, 0x60))
DOMAIN = "00112233445566778899aabbccddeeff"
OTHER = "ffeeddccbbaa99887766554433221100"
PASSPHRASE = "correct horse battery staple"


def write(name, description, cases):
    OUT.mkdir(parents=True, exist_ok=True)
    document = {"description": description, "cases": cases}
    (OUT / name).write_text(json.dumps(document, indent=1, ensure_ascii=True) + "\n")


def block_case(
    name, expect="opened", h=H, kv=KV, domain=DOMAIN, version=1, epoch=0, counter=1, nonce="0102030405", read=None
):
    serial = (epoch << 36) | counter
    check = computed.blocks._domain_check(domain).tobytes()
    p = bytes([version]) + check + serial.to_bytes(6, "big") + bytes.fromhex(nonce)
    x = computed.prp_blocks(h, np.frombuffer(p, np.uint8).reshape(1, 16))
    c = computed.prp_blocks(kv, x)
    read = read or {}
    return {
        "name": name,
        "expect": expect,
        "h": h.hex(),
        "kv": kv.hex(),
        "domain": read.get("domain", domain),
        "version": read.get("version", version),
        "epoch": epoch,
        "counter": counter,
        "nonce": nonce,
        "p": p.hex(),
        "x": x.tobytes().hex(),
        "c": c.tobytes().hex(),
        "s": computed.format_blocks(c)[0],
    }


def computed_vectors():
    top = {"epoch": 4095, "counter": 2**36 - 1, "nonce": "ffffffffff", "version": 255}
    write(
        "pseudonym-computed.json",
        "docs/spec/pseudonym-computed.md: serial to text and back; domain and version are the reader's.",
        [
            block_case("the known answer"),
            block_case("the next counter", counter=2),
            block_case("another nonce under the same serial", nonce="0102030406"),
            block_case("another epoch", epoch=1),
            block_case("another version", version=2),
            block_case("another domain", domain=OTHER),
            block_case("another domain key", h=bytes(32)),
            block_case("another pseudonym key", kv=bytes(32)),
            block_case("all fields at their largest", **top),
            block_case("made under version 2, read under 1", "not opened", version=2, read={"version": 1}),
            block_case("made for another domain", "not opened", domain=OTHER, read={"domain": DOMAIN}),
            block_case("a counter of zero", "not opened", counter=0),
            block_case("an epoch with a counter of zero", "not opened", epoch=7, counter=0),
        ],
    )
    good = "7DKLPHW5FV25H6RLDXVRM8Z6P7M4"
    texts = [
        ("the known answer", "ok", good),
        ("the smallest block", "ok", computed.format_blocks(np.zeros((1, 16), np.uint8))[0]),
        ("the largest block", "ok", computed.format_blocks(np.full((1, 16), 255, np.uint8))[0]),
        ("one wrong character", "wrong check", good[:3] + "K" + good[4:]),
        ("two wrong characters", "wrong check", good[:3] + "KK" + good[5:]),
        (
            "two neighbours swapped",
            "wrong check",
            "D7" + good[2:] if good[0] == "D" else good[0] + good[2] + good[1] + good[3:],
        ),
        ("a wrong first check character", "wrong check", good[:26] + "N" + good[27:]),
        ("a wrong last character", "wrong check", good[:27] + "5"),
        ("lower case", "malformed", good.lower()),
        ("one lower-case letter", "malformed", good[0] + "d" + good[2:]),
        ("the letter O", "malformed", good[:5] + "O" + good[6:]),
        ("the letter I", "malformed", good[:5] + "I" + good[6:]),
        ("the letter B", "malformed", good[:5] + "B" + good[6:]),
        ("the letter S", "malformed", good[:5] + "S" + good[6:]),
        ("two foreign characters", "malformed", good[:5] + "--" + good[7:]),
        ("a first character of value 8", "malformed", "8" + good[1:]),
        ("a first character of value 31", "malformed", "Z" + good[1:]),
        ("a valid code word that begins with 8", "malformed", _word_that_begins_with_8()),
        ("one character too few", "malformed", good[:-1]),
        ("one character too many", "malformed", good + "4"),
        ("empty", "malformed", ""),
        ("a leading space", "malformed", " " + good),
        ("a trailing line break", "malformed", good + "\n"),
        ("a line break in place of the last character", "malformed", good[:-1] + "\n"),
        ("groups with hyphens", "malformed", "-".join(good[i : i + 4] for i in range(0, 28, 4))),
        ("a full-width digit", "malformed", "\uff17" + good[1:]),
        ("a letter beyond the first plane", "malformed", "\U0001d7df" + good[1:]),
        ("an unpaired surrogate", "malformed", "\ud800" + good[1:]),
        ("a zero byte", "malformed", "\0" + good[1:]),
        ("a combining accent", "malformed", good[:26] + "\u0301" + good[27:]),
    ]
    cases = []
    for name, expect, text in texts:
        parsed = computed.parse([text])
        block = parsed.blocks.tobytes().hex() if expect == "ok" else None
        cases.append({"name": name, "expect": expect, "text": text, "block": block, "suggest": computed.suggest(text)})
    write("pseudonym-text.json", "docs/spec/pseudonym-computed.md, sections 4 to 6: reading a text.", cases)


def _word_that_begins_with_8():
    info = [8, *[1] * 25]
    return "".join(computed.ALPHABET[s] for s in [*info, *computed.reedsolomon.check_symbols(info)])


def store_vectors():
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "keys"
        store = KeyStore.create(path, PASSPHRASE.encode(), kdf=CHEAP_FOR_TESTS)
        scope = f"domain:{DOMAIN}"
        ids = [KeyId(scope, p, 1) for p in (Purpose.PSEUDONYM, Purpose.LOOKUP, Purpose.DATA)]
        store.add([*ids, KeyId(scope, Purpose.PSEUDONYM, 2), KeyId(INSTANCE, Purpose.AUDIT, 1)])
        store.destroy([ids[0]])
        file = path.read_bytes()
    header = _envelope.parse_header(file)
    keys = _envelope.unlock(header, PASSPHRASE.encode())

    def resealed(text):
        return _envelope.seal(Secret(text), keys, header.profile, header.salt, header.store_id, header.generation)

    def header_with(at, value):
        fields = file[:at] + value + file[at + len(value) : 96]
        return fields + _envelope._header_digest(fields) + file[112:]

    content = _envelope.unseal(file, header, keys).reveal()
    parsed = json.loads(content)
    canonical = lambda value: json.dumps(value, sort_keys=True, separators=(",", ":")).encode()  # noqa: E731
    assert canonical(parsed) == content
    flipped = lambda at: file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]  # noqa: E731
    altered = lambda change: canonical(change(json.loads(content)))  # noqa: E731

    def entry(change):
        def apply(document):
            change(document["entries"])
            return document

        return altered(apply)

    damaged = "key_store_damaged"
    files = [
        ("as written", "opened", PASSPHRASE, file),
        ("another passphrase", "wrong_passphrase", "correct horse battery stable", file),
        ("the passphrase with a line break", "wrong_passphrase", PASSPHRASE + "\n", file),
        ("an empty passphrase", "wrong_passphrase", "", file),
        ("a salt exchanged together with its digest", "wrong_passphrase", PASSPHRASE, header_with(24, bytes(16))),
        (
            "a check value exchanged together with its digest",
            "wrong_passphrase",
            PASSPHRASE,
            header_with(64, bytes(16)),
        ),
        ("a changed salt", damaged, PASSPHRASE, flipped(24)),
        ("a changed magic", damaged, PASSPHRASE, flipped(0)),
        ("a changed version", damaged, PASSPHRASE, flipped(9)),
        ("a changed generation", damaged, PASSPHRASE, flipped(63)),
        (
            "a generation exchanged together with its digest",
            damaged,
            PASSPHRASE,
            header_with(56, (9).to_bytes(8, "big")),
        ),
        ("a store id exchanged together with its digest", damaged, PASSPHRASE, header_with(40, bytes(16))),
        ("a nonce exchanged together with its digest", damaged, PASSPHRASE, header_with(80, bytes(12))),
        ("a changed first byte of the content", damaged, PASSPHRASE, flipped(112)),
        ("a changed last byte", damaged, PASSPHRASE, flipped(len(file) - 1)),
        ("cut by one byte", damaged, PASSPHRASE, file[:-1]),
        ("cut after the header", damaged, PASSPHRASE, file[:112]),
        ("cut in the header", damaged, PASSPHRASE, file[:50]),
        ("one byte appended", damaged, PASSPHRASE, file + b"\0"),
        ("empty", damaged, PASSPHRASE, b""),
        ("another file", damaged, PASSPHRASE, b"SQLite format 3\0" + bytes(500)),
        ("a format from the future", damaged, PASSPHRASE, header_with(8, b"\0\2")),
        ("an unknown key derivation", damaged, PASSPHRASE, header_with(10, b"\2")),
        ("an unknown sealing", damaged, PASSPHRASE, header_with(11, b"\2")),
        ("a terabyte of memory", damaged, PASSPHRASE, header_with(12, (2**30).to_bytes(4, "big"))),
        ("four thousand million iterations", damaged, PASSPHRASE, header_with(16, b"\xff\xff\xff\xff")),
        ("no iteration", damaged, PASSPHRASE, header_with(16, bytes(4))),
        ("no lane", damaged, PASSPHRASE, header_with(20, bytes(4))),
        ("a thousand lanes", damaged, PASSPHRASE, header_with(20, (1000).to_bytes(4, "big"))),
        ("less memory than its lanes need", damaged, PASSPHRASE, header_with(12, (7).to_bytes(4, "big"))),
        (
            "much memory many times",
            damaged,
            PASSPHRASE,
            header_with(12, (2**18).to_bytes(4, "big") + (64).to_bytes(4, "big")),
        ),
        ("content with white space", damaged, PASSPHRASE, resealed(content.replace(b",", b", ", 1))),
        ("content in another order", damaged, PASSPHRASE, resealed(entry(lambda e: e.reverse()))),
        ("an entry twice", damaged, PASSPHRASE, resealed(entry(lambda e: e.append(e[-1])))),
        ("an unknown member", damaged, PASSPHRASE, resealed(entry(lambda e: e[0].update(note="")))),
        ("an unknown purpose", damaged, PASSPHRASE, resealed(entry(lambda e: e[0].update(purpose="signing")))),
        (
            "material exchanged between entries",
            damaged,
            PASSPHRASE,
            resealed(entry(lambda e: e[0].update(material=e[1]["material"]))),
        ),
        (
            "a destroyed entry with material",
            damaged,
            PASSPHRASE,
            resealed(entry(lambda e: e[2].update(material=e[1]["material"]))),
        ),
        (
            "an entry with neither material nor end",
            damaged,
            PASSPHRASE,
            resealed(entry(lambda e: e[0].update(material=None))),
        ),
        ("short material", damaged, PASSPHRASE, resealed(entry(lambda e: e[0].update(material="AAAA")))),
        (
            "a time zone",
            damaged,
            PASSPHRASE,
            resealed(entry(lambda e: e[0].update(created="2026-01-01T00:00:00+01:00"))),
        ),
        ("version zero", damaged, PASSPHRASE, resealed(entry(lambda e: e[0].update(version=0)))),
        (
            "a pseudonym key of the instance",
            damaged,
            PASSPHRASE,
            resealed(entry(lambda e: e[3].update(scope="instance"))),
        ),
        ("another content format", damaged, PASSPHRASE, resealed(content.replace(b"key-store/1", b"key-store/2"))),
        ("content that is no JSON", damaged, PASSPHRASE, resealed(b"{")),
        ("content that is not UTF-8", damaged, PASSPHRASE, resealed(b'{"entries":[],"format":"\xff"}')),
    ]
    summary = [[e.id.scope, str(e.id.purpose), e.id.version, e.kcv, e.destroyed is not None] for e in store.entries()]
    tag = store.tags(DOMAIN, 1, [b"original"])[0].hex()
    mac = store.mac(INSTANCE, Purpose.AUDIT, 1, b"message").hex()
    signature = store.sign(INSTANCE, Purpose.AUDIT, 1, b"message").hex()
    x = np.frombuffer(bytes(range(16)), np.uint8).reshape(1, 16)
    answers = {
        "entries": summary,
        "tag": tag,
        "mac": mac,
        "signature": signature,
        "c": store.encipher(DOMAIN, 2, x).tobytes().hex(),
    }
    write(
        "key-store.json",
        "docs/spec/key-store.md; answers: tag of 'original' (lookup 1), mac and signature of 'message'"
        " (audit 1), C of 00..0f (pseudonym 2).",
        [
            {"name": n, "expect": e, "passphrase": p, "file": f.hex(), "answers": answers if e == "opened" else None}
            for n, e, p, f in files
        ],
    )


def message_vectors():
    key = hybrid.RecipientKey(Secret(bytes(range(96))))
    info = b"trustcenter/join-map/1\0stroke\0r1"
    message = bytes(i % 251 for i in range(300))
    blob = hybrid.seal(key.public, message, info)
    large = bytes(i % 251 for i in range(65536 + 10))
    large_blob = hybrid.seal(key.public, large, info)
    flipped = lambda b, at: b[:at] + bytes([b[at] ^ 1]) + b[at + 1 :]  # noqa: E731
    other = hybrid.seal(hybrid.RecipientKey.generate().public, message, info)
    exact = hybrid.seal(key.public, bytes(65536), info)
    rows = [
        ("a short message", "opened", blob, info, message),
        ("an empty message", "opened", hybrid.seal(key.public, b"", info), info, b""),
        ("an empty context", "opened", hybrid.seal(key.public, message, b""), b"", message),
        ("another context", "seal_broken", blob, info + b"x", None),
        ("sealed to another key", "sealed_to_another_key", other, info, None),
        ("a changed magic", "seal_broken", flipped(blob, 0), info, None),
        ("a changed version", "seal_broken", flipped(blob, 9), info, None),
        ("a changed suite", "seal_broken", flipped(blob, 11), info, None),
        ("a changed recipient", "sealed_to_another_key", flipped(blob, 12), info, None),
        ("a changed ML-KEM ciphertext", "seal_broken", flipped(blob, 28), info, None),
        ("a changed X25519 share", "seal_broken", flipped(blob, 28 + 1119 - 5), info, None),
        ("a changed file key", "seal_broken", flipped(blob, 28 + 1120), info, None),
        ("a changed first byte of the payload", "seal_broken", flipped(blob, 1196), info, None),
        ("a changed last byte", "seal_broken", flipped(blob, len(blob) - 1), info, None),
        ("cut by one byte", "seal_broken", blob[:-1], info, None),
        ("cut after the header", "seal_broken", blob[:1196], info, None),
        ("cut in the header", "seal_broken", blob[:100], info, None),
        ("one byte appended", "seal_broken", blob + b"\0", info, None),
        ("empty", "seal_broken", b"", info, None),
        ("text", "seal_broken", b"hello", info, None),
    ]
    write(
        "sealed-message.json",
        "docs/spec/sealed-message.md, section 2, small payloads; the recipient's secret is 000102..5f.",
        [
            {"name": n, "expect": e, "blob": b.hex(), "info": i.hex(), "message": None if m is None else m.hex()}
            for n, e, b, i, m in rows
        ],
    )
    assert len(large_blob) == 1196 + 65536 + 16 + 10 + 16
    assert len(exact) == 1196 + 65536 + 16


def signature_vectors():
    key = personal.PersonalKey(Secret(bytes(range(32))))
    context = "trustcenter/release/1"
    statement = b"release r1 of study stroke\n"
    signature = key.sign(context, statement)
    small = _text.format_public(personal.WORD, b"\1" + bytes(31))
    wide = _text.format_public(personal.WORD, (2**255 - 19 + 3).to_bytes(32, "little"))
    public = key.public
    rows = [
        ("a good signature", "verified", public, context, statement, signature),
        ("an empty statement", "verified", public, context, b"", key.sign(context, b"")),
        ("another statement", "bad_signature", public, context, statement + b"\n", signature),
        ("another context", "bad_signature", public, "trustcenter/release/2", statement, signature),
        ("a byte moved from statement to context", "bad_signature", public, context + "r", statement[1:], signature),
        (
            "another person",
            "bad_signature",
            personal.PersonalKey(Secret(bytes(32))).public,
            context,
            statement,
            signature,
        ),
        (
            "a changed signature",
            "bad_signature",
            public,
            context,
            statement,
            ("B" if signature[0] == "A" else "A") + signature[1:],
        ),
        ("a signature with padding", "bad_signature", public, context, statement, signature + "=="),
        (
            "a signature with other trailing bits",
            "bad_signature",
            public,
            context,
            statement,
            signature[:-1] + chr(ord(signature[-1]) + 1),
        ),
        ("a signature with a line break", "bad_signature", public, context, statement, signature + "\n"),
        ("a short signature", "bad_signature", public, context, statement, signature[:-4]),
        ("an empty signature", "bad_signature", public, context, statement, ""),
        ("a public key in upper case", "invalid_public_key", public.upper(), context, statement, signature),
        ("a public key with a line break", "invalid_public_key", public + "\n", context, statement, signature),
        (
            "a public key with a wrong check",
            "invalid_public_key",
            public[:-1] + ("0" if public[-1] != "0" else "1"),
            context,
            statement,
            signature,
        ),
        (
            "a public key without its check",
            "invalid_public_key",
            public.rpartition(":")[0],
            context,
            statement,
            signature,
        ),
        (
            "a public key of another version",
            "invalid_public_key",
            public.replace("-1:", "-2:"),
            context,
            statement,
            signature,
        ),
        (
            "a recipient's public key",
            "invalid_public_key",
            hybrid.RecipientKey(Secret(bytes(96))).public,
            context,
            statement,
            signature,
        ),
        ("a public key of small order", "invalid_public_key", small, context, statement, "AQ" + "A" * 84),
        ("a public key that is not canonical", "invalid_public_key", wide, context, statement, signature),
        ("an empty public key", "invalid_public_key", "", context, statement, signature),
        ("an empty context", "keys_usage", public, "", statement, signature),
        ("a context with a space", "keys_usage", public, "a b", statement, signature),
    ]
    write(
        "personal-signature.json",
        "docs/spec/sealed-message.md, sections 1 and 3; the first person's seed is 000102..1f.",
        [
            {"name": n, "expect": e, "public": p, "context": c, "statement": s.hex(), "signature": g}
            for n, e, p, c, s, g in rows
        ],
    )


def secret_file_vectors():
    secret = Secret(bytes(range(32)))
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)

        def text(item, **how):
            path = folder / secrets.token_hex(4)
            item.save(path, **how)
            return path.read_text()

        how = {"passphrase": PASSPHRASE.encode(), "profile": CHEAP_FOR_TESTS}
        study = text(StudySecret("stroke-registry", 2, secret))
        site = text(SiteKey(secret))
        sealed = text(SiteKey(secret), **how)
        person = text(personal.PersonalKey(secret))
        sealed_person = text(personal.PersonalKey(secret), **how)
        recipient = text(hybrid.RecipientKey(Secret(bytes(range(96)))))

    def edited(text, *changes):
        body = text[: text.rindex("check: ")]
        for old, new in changes:
            assert old in body
            body = body.replace(old, new)
        return _secretfile._with_check(body.encode()).decode()

    person_public = next(line for line in person.splitlines() if line.startswith("public"))
    other_public = "public: " + personal.PersonalKey(Secret(bytes(32))).public
    material = next(line for line in site.splitlines() if line.startswith("material"))
    salt = sealed[sealed.index("salt=") + 5 :][:22]
    rows = [
        ("a study secret", "loaded", "study-secret", study, None),
        ("a site key", "loaded", "site-key", site, None),
        ("a personal key", "loaded", "personal-key", person, None),
        ("a recipient key", "loaded", "recipient-key", recipient, None),
        ("a protected site key", "loaded", "site-key", sealed, PASSPHRASE),
        ("a protected personal key", "loaded", "personal-key", sealed_person, PASSPHRASE),
        ("a passphrase that is not needed", "loaded", "site-key", site, PASSPHRASE),
        ("no passphrase for a protected file", "unusable_passphrase", "site-key", sealed, None),
        ("another passphrase", "wrong_passphrase", "site-key", sealed, PASSPHRASE + "x"),
        (
            "another salt",
            "wrong_passphrase",
            "site-key",
            edited(sealed, (f"salt={salt}", "salt=" + "A" * 22)),
            PASSPHRASE,
        ),
        ("another kind", "secret_file", "site-key", study, None),
        ("a recipient key for a personal key", "secret_file", "personal-key", recipient, None),
        ("a changed study name", "secret_file_damaged", "study-secret", study.replace("stroke", "strike"), None),
        ("changed material", "secret_file_damaged", "site-key", site.replace("AAEC", "AAED"), None),
        (
            "sealed material exchanged",
            "secret_file_damaged",
            "site-key",
            edited(sealed, ("material: ", "material: AAAA")),
            PASSPHRASE,
        ),
        (
            "a sealed file given another public key",
            "secret_file_damaged",
            "personal-key",
            edited(sealed_person, (person_public, other_public)),
            PASSPHRASE,
        ),
        (
            "a public key of somebody else",
            "secret_file",
            "personal-key",
            edited(person, (person_public, other_public)),
            None,
        ),
        ("line ends of Windows", "secret_file", "site-key", site.replace("\n", "\r\n"), None),
        ("a line too many", "secret_file_damaged", "site-key", site + "\n", None),
        ("cut", "secret_file_damaged", "site-key", site[: len(site) // 2], None),
        ("no line break at the end", "secret_file_damaged", "site-key", site[:-1], None),
        ("an added line", "secret_file", "site-key", edited(site, ("protection", "note: x\nprotection")), None),
        ("a line with another name", "secret_file", "study-secret", edited(study, ("study:", "Study:")), None),
        ("an unknown protection", "secret_file", "site-key", edited(site, ("none", "rot13")), None),
        ("a terabyte of memory", "secret_file", "site-key", edited(sealed, ("m=64 ", "m=1073741824 ")), PASSPHRASE),
        ("material that is too short", "secret_file", "site-key", edited(site, (material, "material: AAAA")), None),
        ("material with padding", "secret_file", "site-key", edited(site, (material, material + "=")), None),
        ("a study name in upper case", "secret_file", "study-secret", edited(study, ("study: s", "study: S")), None),
        ("a version of zero", "secret_file", "study-secret", edited(study, ("version: 2", "version: 0")), None),
        (
            "a version with a leading zero",
            "secret_file",
            "study-secret",
            edited(study, ("version: 2", "version: 02")),
            None,
        ),
        ("a file version from the future", "secret_file", "site-key", edited(site, ("file 1", "file 2")), None),
        ("empty", "secret_file", "site-key", "", None),
        ("another file", "secret_file", "site-key", "-----BEGIN PRIVATE KEY-----\n", None),
    ]
    write(
        "secret-files.json",
        "docs/spec/secret-files.md. The secrets are 000102.. (32 bytes, 96 for the recipient).",
        [{"name": n, "expect": e, "kind": k, "text": t, "passphrase": p} for n, e, k, t, p in rows],
    )


if __name__ == "__main__":
    computed_vectors()
    store_vectors()
    message_vectors()
    signature_vectors()
    secret_file_vectors()

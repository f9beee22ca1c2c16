"""Sealed messages: vectors, sizes around a chunk, tampering in each region, recipients, streams."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys import hybrid, stream
from keys._guard import Secret
from keys.errors import InvalidPublicKeyError, KeysError, SealError, WrongRecipientError
from keys.hybrid import RecipientKey

INFO = b"trustcenter/join-map/1\0stroke\0r1"
CHUNK = stream.CHUNK_BYTES
SEALED_CHUNK = CHUNK + 16
HEAD = hybrid.HEADER_BYTES + hybrid.WRAPPED_BYTES
FILE = Path(__file__).parents[1] / "vectors" / "keys" / "sealed-message.json"


@pytest.fixture(scope="module")
def key():
    return RecipientKey(Secret(bytes(range(96))))


def _vectors():
    document = json.loads(FILE.read_text())
    assert set(document) == {"description", "cases"}
    for case in document["cases"]:
        assert set(case) == {"name", "expect", "blob", "info", "message"}
        assert case["expect"] in {"opened", "seal_broken", "sealed_to_another_key"}
    return [pytest.param(case, id=case["name"]) for case in document["cases"]]


@pytest.mark.parametrize("case", _vectors())
def test_vectors_of_sealed_messages(key, case):
    blob, info = bytes.fromhex(case["blob"]), bytes.fromhex(case["info"])
    if case["expect"] == "opened":
        assert key.open(blob, info).hex() == case["message"]
    else:
        with pytest.raises(SealError) as caught:
            key.open(blob, info)
        assert (caught.value.code, caught.value.kind) == (case["expect"], "verification")


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1])
def test_sizes_around_a_chunk(key, size):
    message = bytes(i % 251 for i in range(size))
    blob = hybrid.seal(key.public, message, INFO)
    assert len(blob) == HEAD + size + 16 * max(1, -(-size // CHUNK))
    assert key.open(blob, INFO) == message


@settings(max_examples=30)
@given(parts=st.lists(st.binary(max_size=50) | st.integers(0, 3 * CHUNK).map(bytes), max_size=5))
def test_the_parts_of_a_payload_leave_no_trace(parts):
    chunks = list(stream.seal_chunks(Secret(bytes(32)), parts))
    assert b"".join(chunks) == b"".join(stream.seal_chunks(Secret(bytes(32)), [b"".join(parts)]))
    reader = io.BytesIO(b"".join(chunks))
    opened = list(stream.open_chunks(Secret(bytes(32)), lambda n: reader.read(min(n, 7001))))
    assert b"".join(opened) == b"".join(parts)
    assert all(len(part) == CHUNK for part in opened[:-1])


def test_tampering_in_each_region_is_noticed(key):
    blob = hybrid.seal(key.public, bytes(CHUNK + 100), INFO)
    places = [*range(hybrid.HEADER_BYTES), *range(28, HEAD, 37), HEAD - 1]
    places += [HEAD, HEAD + CHUNK, HEAD + SEALED_CHUNK - 1, HEAD + SEALED_CHUNK, len(blob) - 1]
    for at in places:
        with pytest.raises(SealError):
            key.open(blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :], INFO)


def test_chunks_cannot_be_moved_repeated_or_dropped(key):
    blob = hybrid.seal(key.public, bytes(2 * CHUNK + 100), INFO)
    head, one, two, last = (
        blob[:HEAD],
        blob[HEAD : HEAD + SEALED_CHUNK],
        blob[HEAD + SEALED_CHUNK : HEAD + 2 * SEALED_CHUNK],
        blob[HEAD + 2 * SEALED_CHUNK :],
    )
    assert key.open(head + one + two + last, INFO) == bytes(2 * CHUNK + 100)
    forgeries = {
        "the last chunk dropped": one + two,
        "a chunk dropped in the middle": one + last,
        "two chunks exchanged": two + one + last,
        "a chunk repeated": one + one + two + last,
        "the last chunk repeated": one + two + last + last,
        "only the last chunk": last,
        "nothing": b"",
        "cut inside a chunk": one + two[:100],
        "an empty last chunk appended": one + two + last + bytes(16),
    }
    opened = []
    for name, payload in forgeries.items():
        try:
            key.open(head + payload, INFO)
            opened.append(name)
        except SealError as error:
            assert error.where.startswith("chunk ")  # noqa: PT017 - the names of those that open are collected
    assert opened == []


def test_an_empty_last_chunk_is_refused_even_if_it_is_authentic():
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    aead = AESGCM(bytes(32))
    forged = aead.encrypt(bytes(12), bytes(CHUNK), None) + aead.encrypt(bytes(10) + b"\1\1", b"", None)
    with pytest.raises(SealError):
        list(stream.open_chunks(Secret(bytes(32)), io.BytesIO(forged).read))


def test_another_recipient_is_told_so(key):
    with pytest.raises(WrongRecipientError) as caught:
        RecipientKey.generate().open(hybrid.seal(key.public, b"m", INFO), INFO)
    assert caught.value.hint


def test_a_relay_that_renames_the_recipient_gains_nothing(key):
    other = RecipientKey.generate()
    blob = hybrid.seal(key.public, b"m", INFO)
    own = hybrid.seal(other.public, b"m", INFO)
    with pytest.raises(SealError) as caught:
        other.open(own[: hybrid.HEADER_BYTES] + blob[hybrid.HEADER_BYTES :], INFO)
    assert caught.value.code == "seal_broken"


def test_two_seals_of_one_message_have_nothing_in_common(key):
    one, two = (hybrid.seal(key.public, bytes(100), INFO) for _ in range(2))
    assert one[: hybrid.HEADER_BYTES] == two[: hybrid.HEADER_BYTES]
    assert one[HEAD:] != two[HEAD:]


def test_streams_give_the_same(key):
    message = bytes(3 * CHUNK + 5)
    blob = b"".join(hybrid.seal_stream(key.public, (message[i : i + 1000] for i in range(0, len(message), 1000)), INFO))
    assert key.open(blob, INFO) == message
    assert b"".join(key.open_stream(io.BytesIO(blob).read, INFO)) == message
    cut = key.open_stream(io.BytesIO(blob[:-1]).read, INFO)
    with pytest.raises(SealError) as caught:
        list(cut)
    assert caught.value.where == "chunk 3"


def test_a_bad_public_key_is_refused_before_the_first_part_is_taken(key):
    public = key.public
    swapped = public.replace("A", "B", 1)
    for text in (public.lower(), public + "\n", " " + public, public[:-1], swapped, public.replace("-1:", "-2:"), ""):
        for call in (lambda t=text: hybrid.seal(t, b"", INFO), lambda t=text: hybrid.fingerprint(t)):
            with pytest.raises(InvalidPublicKeyError):
                call()
        with pytest.raises(InvalidPublicKeyError):
            hybrid.seal_stream(text, iter([b""]), INFO)


def test_public_keys_that_are_no_points_are_refused(key):
    from keys import _text

    raw = _text.parse_public(hybrid.WORD, key.public, hybrid.PUBLIC_BYTES)
    for forged in (raw[:-32] + bytes(32), b"\xff" * 1184 + raw[-32:]):
        with pytest.raises(InvalidPublicKeyError):
            hybrid.seal(_text.format_public(hybrid.WORD, forged), b"m", INFO)


def test_the_public_form_and_its_fingerprint(key):
    assert key.public.startswith("tc-recipient-1:")
    assert len(key.public) == 1646
    assert key.fingerprint == hybrid.fingerprint(key.public)
    groups = key.fingerprint.split("-")
    assert [len(g) for g in groups] == [4] * 5
    assert hybrid.fingerprint(RecipientKey.generate().public) != key.fingerprint


@settings(max_examples=25)
@given(st.binary(max_size=3000))
def test_arbitrary_bytes_never_open(data):
    recipient = RecipientKey(Secret(bytes(range(96))))
    for blob in (data, hybrid.MAGIC + data):
        with pytest.raises(KeysError):
            recipient.open(blob, INFO)

"""Suite "computed": blocks, known answer, properties, speed of the whole path is measured elsewhere."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import computed
from keys.errors import InvalidBatchError, InvalidKeyIdError

H = bytes(range(32))
KV = bytes(range(0x40, 0x60))
DOMAIN = "00112233445566778899aabbccddeeff"
FILE = Path(__file__).parents[1] / "vectors" / "keys" / "pseudonym-computed.json"


def _vectors():
    document = json.loads(FILE.read_text())
    assert set(document) == {"description", "cases"}
    fields = {"name", "expect", "h", "kv", "domain", "version", "epoch", "counter", "nonce", "p", "x", "c", "s"}
    for case in document["cases"]:
        assert set(case) == fields
        assert case["expect"] in {"opened", "not opened"}
    return [pytest.param(case, id=case["name"]) for case in document["cases"]]


def _one(case, version=None):
    return computed.inner_blocks(
        bytes.fromhex(case["h"]),
        case["domain"],
        case["version"] if version is None else version,
        np.array([computed.join_serial(case["epoch"], case["counter"])], np.uint64),
        np.frombuffer(bytes.fromhex(case["nonce"]), np.uint8).reshape(1, 5),
    )


@pytest.mark.parametrize("case", _vectors())
def test_vectors_of_the_whole_path(case):
    parsed = computed.parse([case["s"]])
    assert parsed.status[0] == computed.OK
    assert parsed.blocks.tobytes().hex() == case["c"]
    x = computed.prp_blocks(bytes.fromhex(case["kv"]), parsed.blocks, inverse=True)
    assert x.tobytes().hex() == case["x"]
    p = computed.prp_blocks(bytes.fromhex(case["h"]), x, inverse=True)
    assert p.tobytes().hex() == case["p"]
    opened = computed.open_inner(bytes.fromhex(case["h"]), case["domain"], case["version"], x)
    if case["expect"] == "opened":
        assert _one(case).tobytes().hex() == case["x"]
        assert computed.format_blocks(parsed.blocks) == [case["s"]]
        assert opened.ok.tolist() == [True]
        assert computed.split_serial(int(opened.serial[0])) == (case["epoch"], case["counter"])
        assert opened.nonce.tobytes().hex() == case["nonce"]
    else:
        assert opened.ok.tolist() == [False]
        assert opened.serial.tolist() == [0]
        assert not opened.nonce.any()


def test_known_answer_of_the_specification():
    serial = np.array([1], np.uint64)
    nonce = np.array([[1, 2, 3, 4, 5]], np.uint8)
    x = computed.inner_blocks(H, DOMAIN, 1, serial, nonce)
    c = computed.prp_blocks(KV, x)
    p = computed.prp_blocks(H, x, inverse=True)
    assert p.tobytes().hex() == "01775442010000000000010102030405"
    assert x.tobytes().hex() == "be6866f7922bbf92ea3ed463882a763d"
    assert c.tobytes().hex() == "ec94ed0e15db11606c4d9dde288f9ac7"
    assert computed.format_blocks(c) == ["7DKLPHW5FV25H6RLDXVRM8Z6P7M4"]


@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, computed.MAX_EPOCH), st.integers(1, computed.MAX_COUNTER), st.binary(min_size=5, max_size=5)
        ),
        max_size=20,
    ),
    version=st.integers(1, 255),
    h=st.binary(min_size=32, max_size=32),
    kv=st.binary(min_size=32, max_size=32),
    domain=st.uuids(),
)
def test_every_row_comes_back_from_its_text(rows, version, h, kv, domain):
    serials = np.array([computed.join_serial(e, c) for e, c, _ in rows], np.uint64)
    nonces = np.frombuffer(b"".join(n for *_, n in rows), np.uint8).reshape(-1, 5)
    x = computed.inner_blocks(h, domain.hex, version, serials, nonces)
    texts = computed.format_blocks(computed.prp_blocks(kv, x))
    parsed = computed.parse(texts)
    assert (parsed.status == computed.OK).all()
    opened = computed.open_inner(h, domain.hex, version, computed.prp_blocks(kv, parsed.blocks, inverse=True))
    assert opened.ok.all()
    assert np.array_equal(opened.serial, serials)
    assert np.array_equal(opened.nonce, nonces)
    for other in {version % 255 + 1}:
        assert not computed.open_inner(h, domain.hex, other, x).ok.any()


def test_blocks_of_another_domain_or_key_do_not_open():
    serials = np.arange(1, 2001, dtype=np.uint64)
    x = computed.inner_blocks(H, DOMAIN, 1, serials, np.zeros((2000, 5), np.uint8))
    assert not computed.open_inner(H, DOMAIN[::-1], 1, x).ok.any()
    assert not computed.open_inner(KV, DOMAIN, 1, x).ok.any()


def test_a_batch_larger_than_the_inner_chunk_equals_its_parts():
    generator = np.random.Generator(np.random.Philox(7))
    blocks = generator.integers(0, 256, (20_001, 16), dtype=np.uint8)
    whole = computed.format_blocks(blocks)
    assert whole == [text for part in np.array_split(blocks, 7) for text in computed.format_blocks(part)]
    assert np.array_equal(computed.parse(whole).blocks, blocks)
    assert np.array_equal(computed.parse(computed.format_blocks(blocks[::-1])).blocks, blocks[::-1])


@pytest.mark.parametrize(
    ("serials", "nonces"),
    {
        "a counter of zero": (np.array([1 << 36], np.uint64), np.zeros((1, 5), np.uint8)),
        "more than 48 bits": (np.array([(1 << 48) + 1], np.uint64), np.zeros((1, 5), np.uint8)),
        "signed serials": (np.array([1], np.int64), np.zeros((1, 5), np.uint8)),
        "one nonce too few": (np.array([1, 2], np.uint64), np.zeros((1, 5), np.uint8)),
        "a nonce of four bytes": (np.array([1], np.uint64), np.zeros((1, 4), np.uint8)),
        "nonces of another type": (np.array([1], np.uint64), np.zeros((1, 5), np.int8)),
    }.values(),
)
def test_rows_that_cannot_be_are_refused(serials, nonces):
    with pytest.raises(InvalidBatchError):
        computed.inner_blocks(H, DOMAIN, 1, serials, nonces)


@pytest.mark.parametrize("domain", ["", DOMAIN.upper(), DOMAIN + "\n", DOMAIN[:-1], "x" * 32, DOMAIN + "0"])
def test_a_domain_is_exactly_32_lower_case_hex_digits(domain):
    with pytest.raises(InvalidKeyIdError):
        computed.open_inner(H, domain, 1, np.zeros((1, 16), np.uint8))


@pytest.mark.parametrize("version", [0, 256, -1])
def test_versions_end_at_255(version):
    with pytest.raises(InvalidKeyIdError):
        computed.open_inner(H, DOMAIN, version, np.zeros((1, 16), np.uint8))


@pytest.mark.parametrize(("epoch", "counter"), [(-1, 1), (4096, 1), (0, 0), (0, 1 << 36)])
def test_serials_out_of_range_are_refused(epoch, counter):
    with pytest.raises(InvalidBatchError):
        computed.join_serial(epoch, counter)


def test_the_permutation_takes_whole_blocks_and_256_bit_keys_only():
    good = np.zeros((1, 16), np.uint8)
    for key, blocks in [(KV[:16], good), (KV, good[:, :15]), (KV, good.astype(np.int8)), (KV, good[0])]:
        with pytest.raises(InvalidBatchError):
            computed.prp_blocks(key, blocks)
    assert computed.prp_blocks(KV, np.empty((0, 16), np.uint8)).shape == (0, 16)
    every_other = np.arange(64, dtype=np.uint8).reshape(4, 16)[::2]
    assert np.array_equal(computed.prp_blocks(KV, every_other), computed.prp_blocks(KV, every_other.copy()))

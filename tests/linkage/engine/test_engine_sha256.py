"""The compiled HMAC against `hmac` and `hashlib`: every length, mixtures of lengths, and its own constants."""

import hashlib
import hmac

import numpy as np
import pytest

from linkage.kernels.sha256 import LANES, ROUND, START, state_after
from linkage.prf import Prf


def message(k, size):
    return hashlib.shake_256(b"%d" % k).digest(size)


def packed(messages):
    starts = np.cumsum([0, *map(len, messages)]).astype(np.int64)
    return np.frombuffer(bytearray(b"".join(messages)), np.uint8), starts


def hmacs(key, messages):
    return [hmac.digest(key, m, "sha256") for m in messages]


KEYS = [hashlib.sha256(b"key %d" % i).digest() for i in range(3)] + [bytes(32), b"\xff" * 32]


@pytest.mark.parametrize("key", KEYS, ids=["0", "1", "2", "zeros", "ones"])
def test_every_length_from_nothing_to_five_blocks(key):
    messages = [message(size, size) for size in range(301)]
    made = Prf(key).batch(*packed(messages))
    assert [row.tobytes() for row in made] == hmacs(key, messages)


@pytest.mark.parametrize("count", [0, 1, LANES - 1, LANES, LANES + 1, 5 * LANES + 3])
def test_lanes_that_are_not_full_and_lengths_in_any_order(count):
    sizes = [int.from_bytes(message(k, 2), "big") % 257 for k in range(count)]
    messages = [message(1000 + k, size) for k, size in enumerate(sizes)]
    made = Prf(KEYS[0]).batch(*packed(messages))
    assert made.shape == (count, 32)
    assert [row.tobytes() for row in made] == hmacs(KEYS[0], messages)


def test_a_long_message_beside_empty_ones():
    messages = [b"", message(1, 8192), b"", b"x"] * 5
    assert [r.tobytes() for r in Prf(KEYS[1]).batch(*packed(messages))] == hmacs(KEYS[1], messages)


def test_rows_of_one_length_and_single_calls_agree():
    table = np.frombuffer(bytearray(message(7, 40 * 90)), np.uint8).reshape(40, 90)
    prf = Prf(KEYS[2])
    assert [r.tobytes() for r in prf.rows(table[:, 3:])] == [prf(r.tobytes()) for r in table[:, 3:]]


def test_the_constants_are_those_of_the_standard():
    assert [hex(x) for x in START[:2].tolist()] == ["0x6a09e667", "0xbb67ae85"]
    assert [hex(x) for x in (*ROUND[:2].tolist(), int(ROUND[-1]))] == ["0x428a2f98", "0x71374491", "0xc67178f2"]
    block = message(3, 55) + b"\x80" + (8 * 55).to_bytes(8, "big")
    assert state_after(block).astype(">u4").tobytes() == hashlib.sha256(message(3, 55)).digest()


def test_the_repr_shows_no_key():
    prf = Prf(KEYS[0])
    prf.rows(np.zeros((1, 1), np.uint8))
    assert repr(prf) == "Prf(<redacted>)"

"""Personal signatures: vectors, contexts, weak public keys."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import personal
from keys._guard import Secret
from keys.errors import KeysError, SignatureError
from keys.personal import PersonalKey

FILE = Path(__file__).parents[1] / "vectors" / "keys" / "personal-signature.json"
KEY = PersonalKey(Secret(bytes(range(32))))
CONTEXTS = st.text([chr(c) for c in range(0x21, 0x7F)], min_size=1, max_size=255)


def _vectors():
    document = json.loads(FILE.read_text())
    assert set(document) == {"description", "cases"}
    expects = {"verified", "bad_signature", "invalid_public_key", "keys_usage"}
    for case in document["cases"]:
        assert set(case) == {"name", "expect", "public", "context", "statement", "signature"}
        assert case["expect"] in expects
    assert {case["expect"] for case in document["cases"]} == expects
    return [pytest.param(case, id=case["name"]) for case in document["cases"]]


@pytest.mark.parametrize("case", _vectors())
def test_vectors_of_personal_signatures(case):
    arguments = (case["public"], case["context"], bytes.fromhex(case["statement"]), case["signature"])
    if case["expect"] == "verified":
        personal.verify(*arguments)
        assert KEY.sign(case["context"], bytes.fromhex(case["statement"])) == case["signature"]
    else:
        with pytest.raises(KeysError) as caught:
            personal.verify(*arguments)
        assert caught.value.code == case["expect"]


@given(CONTEXTS, st.binary(max_size=200), CONTEXTS, st.binary(max_size=200))
def test_a_signature_holds_for_its_context_and_statement_only(context, statement, other_context, other):
    signature = KEY.sign(context, statement)
    personal.verify(KEY.public, context, statement, signature)
    if (context, statement) != (other_context, other):
        with pytest.raises(SignatureError):
            personal.verify(KEY.public, other_context, other, signature)


def _add(p, q, prime, d):
    """Addition on the twisted Edwards curve of RFC 8032, affine."""
    (x1, y1), (x2, y2) = p, q
    t = d * x1 * x2 * y1 * y2 % prime
    x = (x1 * y2 + x2 * y1) * pow(1 + t, -1, prime) % prime
    y = (y1 * y2 + x1 * x2) * pow(1 - t, -1, prime) % prime
    return x, y


def test_the_refused_points_are_exactly_those_of_small_order():
    prime = 2**255 - 19
    d = -121665 * pow(121666, -1, prime) % prime
    root = pow(2, (prime - 1) // 4, prime)
    orders = []
    for y in personal._SMALL_ORDER_Y:
        square = (y * y - 1) * pow(d * y * y + 1, -1, prime) % prime
        x = pow(square, (prime + 3) // 8, prime)
        if (x * x - square) % prime:
            x = x * root % prime
        assert (x * x - square) % prime == 0, "the point is on the curve"
        point, order = (x, y), 1
        while point != (0, 1):
            point, order = _add(point, (x, y), prime, d), order + 1
            assert order <= 8
        orders.append(order)
    # The cofactor group is cyclic of order 8; +x and -x share a y: 1 + 1 + 1 (two of order 4) + 2 (four of order 8).
    assert sorted(orders) == [1, 2, 4, 8, 8]


def test_the_public_form_and_its_fingerprint():
    assert KEY.public.startswith("tc-person-1:")
    assert personal.fingerprint(KEY.public) == KEY.fingerprint
    assert personal.check_public(KEY.public) == KEY._raw
    assert PersonalKey.generate().public != KEY.public

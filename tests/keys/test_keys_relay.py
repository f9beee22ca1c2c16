"""Member cards and shares of a study secret: vectors, and what a dishonest sender or relay may try."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from keys._guard import Secret
from keys.cards import make_card, parse_card
from keys.errors import CommitmentError, KeysError, KeysUsageError
from keys.hybrid import RecipientKey
from keys.secretfiles import SiteKey, StudySecret
from keys.shares import make_share, open_share, parse_share, verify_share

FILE = Path(__file__).parents[1] / "vectors" / "keys" / "secret-relay.json"
CASES = json.loads(FILE.read_text())["cases"]


def _of(kind):
    found = [case for case in CASES if case["kind"] == kind]
    assert found
    return [pytest.param(case, id=case["name"]) for case in found]


@pytest.mark.parametrize("case", _of("card"))
def test_vectors_of_cards(case):
    if case["expect"] != "read":
        with pytest.raises(KeysError) as caught:
            parse_card(case["text"])
        assert caught.value.code == case["expect"]
        return
    card = parse_card(case["text"])
    assert (card.name, card.fingerprint, card.signing) == (case["member"], case["fingerprint"], case["signing"])
    assert make_card("uk-nord", RecipientKey(Secret(bytes(range(96))))) == card


def _opened(case):
    statement = case["statement"].encode()
    share = parse_share(statement)
    assert share.statement() == statement
    verify_share(statement, case["signature"], parse_card(case["card"]))
    key = RecipientKey(Secret(bytes.fromhex(case["key"])))
    return open_share(share, case["member"], key, base64.b64decode(case["envelope"]))


@pytest.mark.parametrize("case", _of("share"))
def test_vectors_of_shares(case):
    if case["expect"] == "opened":
        secret = _opened(case)
        assert (secret.material.hex(), secret.fingerprint) == (case["secret"], case["fingerprint"])
    else:
        with pytest.raises(KeysError) as caught:
            _opened(case)
        assert caught.value.code == case["expect"]


@pytest.mark.parametrize("case", _of("confirmation"))
def test_vectors_of_confirmations(case):
    secret = StudySecret(case["study"], case["version"], Secret(bytes.fromhex(case["secret"])))
    assert secret.confirmation(case["member"]) == case["expect"]


def test_everybody_opens_the_own_and_only_the_own_and_the_sender_too():
    secret, keys = StudySecret.generate("hearts", 1), {name: RecipientKey.generate() for name in ("a", "b", "c")}
    cards = [make_card(name, key) for name, key in keys.items()]
    made = make_share(secret, schema="00" * 32, issue=1, sender="a", key=keys["a"], cards=cards)
    share = parse_share(made.statement)
    assert sorted(made.envelopes) == ["a", "b", "c"]
    for name, key in keys.items():
        assert open_share(share, name, key, made.envelopes[name]).material == secret.material
    with pytest.raises(KeysError):
        open_share(share, "b", keys["c"], made.envelopes["b"])
    assert secret.material not in made.statement + b"".join(made.envelopes.values())
    with pytest.raises(KeysUsageError):
        make_share(secret, schema="00" * 32, issue=1, sender="a", key=keys["a"], cards=[*cards, cards[1]])


def test_a_sender_that_seals_another_secret_than_it_commits_to_is_found():
    """It signs and binds all that properly, so only the fingerprint of what is inside tells."""
    key, member = RecipientKey.generate(), RecipientKey.generate()
    said, given = StudySecret.generate("hearts", 1), StudySecret.generate("hearts", 1)

    class Lying(StudySecret):
        __slots__ = ()

        @property
        def fingerprint(self):
            return said.fingerprint

    lie = Lying(given.study, given.version, Secret(given.material))
    made = make_share(lie, schema="00" * 32, issue=1, sender="a", key=key, cards=[make_card("b", member)])
    share = parse_share(made.statement)
    verify_share(made.statement, made.signature, make_card("a", key))
    with pytest.raises(CommitmentError):
        open_share(share, "b", member, made.envelopes["b"])


def test_a_confirmation_is_of_one_member_one_version_and_one_secret():
    secret = StudySecret("hearts", 1, Secret(bytes(32)))
    others = [
        secret.confirmation("south"),
        StudySecret("hearts", 2, Secret(bytes(32))).confirmation("north"),
        StudySecret("lungs", 1, Secret(bytes(32))).confirmation("north"),
        StudySecret("hearts", 1, Secret(bytes([1] * 32))).confirmation("north"),
    ]
    assert len({secret.confirmation("north"), *others}) == 5


def test_the_signing_key_of_a_member_is_not_the_key_itself_and_always_the_same(tmp_path):
    key = RecipientKey.generate()
    key.save(tmp_path / "a.key")
    assert RecipientKey.load(tmp_path / "a.key").signer().public == key.signer().public
    assert key.signer().public != RecipientKey.generate().signer().public


def test_a_site_key_goes_through_text_and_back():
    key = SiteKey.generate()
    assert SiteKey.loads(key.dumps()).material == key.material


def test_a_share_shows_what_it_says():
    share = parse_share(next(c for c in CASES if c["expect"] == "opened")["statement"].encode())
    assert (share.study, share.version, share.issue, share.sender.name) == ("hearts", 2, 1, "uk-nord")
    assert [party.name for party in share.members] == ["uk-nord", "uk-sued"]
    assert share.member("uk-west") is None
    assert replace(share, issue=9).statement() != share.statement()

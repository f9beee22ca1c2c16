"""Write tests/vectors/keys/secret-relay.json anew: python tests/keys/make_vectors_relay.py.

Sealing draws at random; the committed file is the reference that later versions must still read.
"""

import base64

from make_vectors import write

from keys import _text
from keys._guard import Secret
from keys.cards import CONTEXT as CARD_CONTEXT
from keys.cards import WORD, make_card
from keys.hybrid import RecipientKey
from keys.secretfiles import StudySecret
from keys.shares import CONTEXT, make_share

NORTH, SOUTH, OTHER = (RecipientKey(Secret(bytes(range(at, at + 96)))) for at in (0, 32, 96))
SECRET = StudySecret("hearts", 2, Secret(bytes(range(32))))
SCHEMA = "ab" * 32


def card_cases():
    good = make_card("uk-nord", NORTH)
    raw = _text.parse_text(WORD, good.text)
    size = 1 + len("uk-nord")

    def case(name, expect, data, *, text=None):
        return {"kind": "card", "name": name, "expect": expect, "text": text or _text.format_public(WORD, data)}

    def signed(data, key=NORTH):
        return data + _text.from_base64url(key.signer().sign(CARD_CONTEXT, data))

    weak = raw[:size] + (1).to_bytes(32, "little") + raw[size + 32 :]
    return [
        case("a card", "read", raw) | {"member": "uk-nord", "fingerprint": good.fingerprint, "signing": good.signing},
        case("another key to seal to", "bad_signature", raw[: size + 32] + OTHER_SEALING + raw[-64:]),
        case("another key to sign with", "bad_signature", raw[:size] + OTHER_SIGNING + raw[size + 32 :]),
        case("another name", "bad_signature", raw[:1] + b"uk-sued" + raw[size:]),
        case("signed by another", "bad_signature", signed(raw[:-64], OTHER)),
        case("a signature of another kind", "bad_signature", raw[:-64] + _text.from_base64url(
            NORTH.signer().sign(CONTEXT, raw[:-64]))),
        case("a name with a capital", "invalid_public_key", signed(raw[:1] + b"uk-Nord" + raw[size:-64])),
        case("no name", "invalid_public_key", signed(b"\0" + raw[size:-64])),
        case("a signing key of small order", "invalid_public_key", weak),
        case("cut short", "invalid_public_key", raw[:-1]),
        case("longer", "invalid_public_key", raw + b"\0"),
        case("empty", "invalid_public_key", b""),
        case("a recipient's key", "invalid_public_key", b"", text=NORTH.public),
        case("check characters", "invalid_public_key", b"", text=good.text[:-1] + "23"[good.text[-1] == "2"]),
    ]  # fmt: skip


OTHER_SEALING = _text.parse_public("tc-recipient-1", OTHER.public, 1216)
OTHER_SIGNING = _text.parse_public("tc-person-1", OTHER.signer().public, 32)


def share_cases():
    cards = [make_card("uk-nord", NORTH), make_card("uk-sued", SOUTH)]
    made = make_share(SECRET, schema=SCHEMA, issue=1, sender="uk-nord", key=NORTH, cards=cards)
    other_secret = StudySecret("hearts", 2, Secret(bytes(32)))
    lying = make_share(other_secret, schema=SCHEMA, issue=1, sender="uk-nord", key=NORTH, cards=cards)
    text = made.statement.decode()

    def case(name, expect, statement=text, *, signer=NORTH, envelope=made.envelopes["uk-sued"], signature=None):
        data = statement.encode()
        return {
            "kind": "share",
            "name": name,
            "expect": expect,
            "statement": statement,
            "signature": signature or signer.signer().sign(CONTEXT, data),
            "card": cards[0].text,
            "member": "uk-sued",
            "key": SOUTH._secret.reveal().hex(),
            "envelope": base64.b64encode(envelope).decode(),
        }

    def edited(old, new):
        assert old in text, old
        return text.replace(old, new, 1)

    lines = text.splitlines(keepends=True)
    first, second = (line for line in lines if line.startswith("sealed"))
    members = [line for line in lines if line.startswith("member")]
    lied = lying.statement.decode().replace(f"secret: {other_secret.fingerprint}", f"secret: {SECRET.fingerprint}")
    return [
        case("a share", "opened") | {"secret": SECRET.material.hex(), "fingerprint": SECRET.fingerprint},
        case("signed by another", "bad_signature", signer=OTHER),
        case("changed after it was signed", "bad_signature", edited("issue: 1", "issue: 2"), signature=made.signature),
        case("the sealed message of another member", "envelope_exchanged", envelope=made.envelopes["uk-nord"]),
        case("a sealed message with a changed byte", "envelope_exchanged",
             envelope=made.envelopes["uk-sued"][:-1] + bytes([made.envelopes["uk-sued"][-1] ^ 1])),
        case("another version in the head", "seal_broken", edited("version: 2", "version: 3")),
        case("another study in the head", "seal_broken", edited("study: hearts", "study: lungs")),
        case("another schema in the head", "seal_broken", edited("ab" * 32, "cd" * 32)),
        case("a secret that is not the committed one", "seal_broken", lied, envelope=lying.envelopes["uk-sued"]),
        case("a member more than it was sealed for", "seal_broken", text.replace(
            members[1], members[1] + members[1].replace("uk-sued", "uk-west")).replace(
            second, second + second.replace("uk-sued", "uk-west"))),
        case("members out of order", "secret_share_invalid", text.replace("".join(members), "".join(members[::-1]))
             .replace(first + second, second + first)),
        case("a member twice", "secret_share_invalid", text.replace(members[1], members[1] * 2)
             .replace(second, second * 2)),
        case("a sealed line too few", "secret_share_invalid", text.replace(second, "")),
        case("the sender is no member", "secret_share_invalid", text.replace(members[0], "").replace(first, "")),
        case("no members", "secret_share_invalid", "".join(lines[:7])),
        case("a leading zero", "secret_share_invalid", edited("version: 2", "version: 02")),
        case("version zero", "secret_share_invalid", edited("version: 2", "version: 0")),
        case("an upper-case hash", "secret_share_invalid", edited("ab" * 32, "AB" * 32)),
        case("another line", "secret_share_invalid", edited("issue: 1\n", "issue: 1\nnote: x\n")),
        case("no last line feed", "secret_share_invalid", text[:-1]),
        case("lines of Windows", "secret_share_invalid", text.replace("\n", "\r\n")),
        case("from the future", "secret_share_invalid", edited("share 1", "share 2")),
        case("empty", "secret_share_invalid", ""),
    ]  # fmt: skip


if __name__ == "__main__":
    confirmation = {
        "kind": "confirmation",
        "name": "a confirmation",
        "expect": SECRET.confirmation("uk-sued"),
        "secret": SECRET.material.hex(),
        "study": "hearts",
        "version": 2,
        "member": "uk-sued",
    }
    write(
        "secret-relay.json",
        "docs/spec/secret-relay.md: cards, shares and confirmations. The keys of a share are 96 secret bytes, hex.",
        [*card_cases(), *share_cases(), confirmation],
    )

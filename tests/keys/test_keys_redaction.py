"""No printable form of anything reveals a secret, and nothing that holds one is copied or pickled."""

import base64
import copy
import inspect
import pickle
import pprint
import traceback
from pathlib import Path

import pytest

import keys.errors
from keys import _text, hybrid, personal
from keys._content import decode, encode
from keys._guard import Guarded, Secret
from keys.errors import KeysError, NotCopyableError
from keys.ids import INSTANCE, KeyId, Purpose
from keys.kdf import CHEAP_FOR_TESTS
from keys.secretfiles import SiteKey, StudySecret
from keys.store import KeyStore

PASSPHRASE = b"correct horse battery staple"
DOMAIN = "00112233445566778899aabbccddeeff"
SCOPE = f"domain:{DOMAIN}"
PACKAGE = Path(keys.errors.__file__).parent
CANARY = b"CANARY-SECRET-THIRTY-TWO-BYTES-X"


def _forms(secret):
    """How bytes may appear in text, shortened by what neighbours may change."""
    return [
        secret.decode("ascii"),
        secret.hex(),
        base64.b64encode(secret).decode()[:-4],
        base64.urlsafe_b64encode(secret).decode()[:-4],
    ]


def _reveals(shown):
    return [form for form in _forms(CANARY) if form in shown]


def _shown(error):
    """All that a log with local variables could print of an error, its causes included; our frames only.

    The frames of the tests hold what they test, and are not what is tested.
    """
    shown, seen = [], error
    while seen is not None:
        report = traceback.TracebackException.from_exception(seen, capture_locals=True)
        frames = [frame for frame in report.stack if Path(frame.filename).is_relative_to(PACKAGE)]
        assert all(frame.locals is not None for frame in frames)
        shown += [str(seen), repr(seen), repr(seen.args), repr(vars(seen)), *map(str, (f.locals for f in frames))]
        seen = seen.__cause__ or seen.__context__
    return "\n".join(shown)


def test_the_search_finds_what_it_looks_for():
    """The tests below would pass on anything if `_shown` showed nothing."""
    with pytest.raises(KeysError) as caught:
        from_base64url_error(Secret(CANARY))
    assert _reveals(_shown(caught.value))


def from_base64url_error(secret):
    """An error that passes through a frame of the package with the secret in a local variable."""
    text = base64.urlsafe_b64encode(secret.reveal()).decode()
    try:
        _text.from_base64url(text)
    except ValueError as error:
        raise KeysError("a cause with a secret") from error


@pytest.fixture
def canaries(store_path, monkeypatch):
    """A store whose every key is the canary, and all kinds of secret files with it."""
    monkeypatch.setattr("os.urandom", lambda n: (CANARY * 3)[:n] if n in {32, 96} else bytes(n))
    store = KeyStore.create(store_path, PASSPHRASE, kdf=CHEAP_FOR_TESTS)
    store.add(
        [
            *(KeyId(SCOPE, p, 1) for p in (Purpose.PSEUDONYM, Purpose.LOOKUP, Purpose.DATA)),
            KeyId(INSTANCE, Purpose.AUDIT, 1),
        ]
    )
    store.tags(DOMAIN, 1, [b"x"])
    store.mac(INSTANCE, Purpose.AUDIT, 1, b"x")
    things = [
        store,
        StudySecret.generate("stroke", 1),
        SiteKey.generate(),
        hybrid.RecipientKey.generate(),
        personal.PersonalKey.generate(),
    ]
    monkeypatch.undo()
    assert store._entries[KeyId(INSTANCE, Purpose.AUDIT, 1)].material.reveal() == CANARY
    return things


def _inside(thing, depth=4):
    """The object and everything it holds that is ours."""
    yield thing
    if depth:
        names = list(getattr(thing, "__dict__", {}))
        names += [n for cls in type(thing).__mro__ for n in getattr(cls, "__slots__", ())]
        for name in names:
            value = getattr(thing, name, None)
            values = value.values() if isinstance(value, dict) else [value]
            for inner in values:
                if isinstance(inner, Guarded):
                    yield from _inside(inner, depth - 1)


def test_no_printable_form_reveals_a_secret(canaries):
    seen = 0
    for thing in (inner for outer in canaries for inner in _inside(outer)):
        seen += 1
        for shown in (repr(thing), str(thing), f"{thing}", f"{thing!r}", pprint.pformat(thing), repr([thing])):
            assert not _reveals(shown)
            assert "redacted" in shown
        if hasattr(thing, "__dict__"):
            assert not _reveals(pprint.pformat(vars(thing)))
    assert seen > 15


def test_nothing_that_holds_a_secret_is_copied_or_pickled(canaries):
    for thing in (inner for outer in canaries for inner in _inside(outer)):
        for call in (copy.copy, copy.deepcopy, pickle.dumps, lambda t: pickle.dumps([t], protocol=0)):
            with pytest.raises(NotCopyableError) as caught:
                call(thing)
            assert not _reveals(_shown(caught.value))


def test_a_secret_is_no_bytes():
    secret = Secret(CANARY)
    assert len(secret) == 32
    with pytest.raises(TypeError):
        bytes(secret)
    assert secret != Secret(CANARY), "equality would tempt to compare, and not in constant time"


def test_errors_with_local_variables_reveal_nothing(canaries, store_path):
    store = canaries[0]
    calls = [
        lambda: store.unseal(DOMAIN, 1, [bytes(12)], [bytes(20)], [b""]),
        lambda: store.seal(DOMAIN, 1, [bytes(1)], [b""], [b""]),
        lambda: store.verify_mac(INSTANCE, Purpose.AUDIT, 1, b"m", bytes(32)),
        lambda: store.add([KeyId(INSTANCE, Purpose.AUDIT, 1)]),
        lambda: store.mac(SCOPE, Purpose.DATA, 1, b""),
        lambda: canaries[3].open(bytes(2000), b""),
        lambda: canaries[3].open(hybrid.seal(canaries[3].public, b"x", b"a\0"), b"b\0"),
        lambda: KeyStore.open(store_path, PASSPHRASE + b"x"),
        lambda: decode(Secret(encode(store._entries).reveal()[:-1])),
        lambda: decode(Secret(encode(store._entries).reveal().replace(b'"kcv":"', b'"kcv":"0'))),
        lambda: decode(Secret(encode(store._entries).reveal().replace(b'"material":"', b'"material":["'))),
    ]
    for call in calls:
        with pytest.raises(KeysError) as caught:
            call()
        assert not _reveals(_shown(caught.value))
    store_path.unlink()
    with pytest.raises(KeysError) as caught:
        store.add([KeyId(INSTANCE, Purpose.AUDIT, 2)])
    assert not _reveals(_shown(caught.value))


def test_errors_of_secret_files_reveal_nothing(canaries, tmp_path):
    for number, thing in enumerate(canaries[1:]):
        path = tmp_path / f"secret{number}"
        thing.save(path)
        text = path.read_text()
        assert any(form in text for form in _forms(CANARY)), "an unprotected file holds it, of course"
        with pytest.raises(KeysError) as caught:
            thing.save(path)
        assert not _reveals(_shown(caught.value))
        for damaged in (text.replace("material: ", "material: A"), text[:-1], text.replace("kind", "Kind"), text + "x"):
            path.write_text(damaged)
            with pytest.raises(KeysError) as caught:
                type(thing).load(path)
            assert not _reveals(_shown(caught.value))


def test_every_error_has_a_code_of_its_own_and_a_known_kind():
    kinds = {"usage", "not_found", "conflict", "limit", "policy", "verification", "unavailable", "internal"}
    classes = [c for _, c in inspect.getmembers(keys.errors, inspect.isclass) if issubclass(c, KeysError)]
    assert len(classes) > 20
    assert len({c.code for c in classes}) == len(classes)
    assert all(c.kind in kinds and c.__doc__ for c in classes)
    tree = keys.errors.__doc__
    assert all(c.__name__ in tree for c in classes), "the tree in the docstring is complete"
    error = KeysError("message", hint="hint", where="where")
    assert (str(error), error.message, error.hint, error.where) == ("message", "message", "hint", "where")

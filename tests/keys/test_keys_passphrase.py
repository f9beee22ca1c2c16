"""Reading passphrases from files and from the terminal."""

import getpass
import os
import threading

import pytest

from keys.errors import PassphraseError
from keys.passphrase import read_passphrase


def _file(tmp_path, content, mode=0o600):
    path = tmp_path / "passphrase"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "passphrase"),
    {
        "one trailing line break is dropped": (b"secret words\n", b"secret words"),
        "also that of Windows": (b"secret words\r\n", b"secret words"),
        "only one": (b"secret words\n\n", b"secret words\n"),
        "a lone carriage return counts": (b"secret words\r", b"secret words\r"),
        "spaces count": (b"  secret words \n", b"  secret words "),
        "bytes beyond ASCII are taken as they are": ("Schlüsselwort\n".encode(), "Schlüsselwort".encode()),
        "no line break at all": (b"secret words", b"secret words"),
    }.values(),
)
def test_a_passphrase_file_is_taken_as_it_is(tmp_path, content, passphrase):
    assert read_passphrase(_file(tmp_path, content), prompt=False) == passphrase


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path, mode):
    with pytest.raises(PassphraseError):
        read_passphrase(_file(tmp_path, b"secret words", mode), prompt=False)


def test_systemd_credentials_have_the_mode_that_systemd_gives_them(tmp_path, monkeypatch):
    path = _file(tmp_path, b"secret words", 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_passphrase(path, prompt=False) == b"secret words"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "other"))
    with pytest.raises(PassphraseError):
        read_passphrase(path, prompt=False)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "")
    with pytest.raises(PassphraseError):
        read_passphrase(path, prompt=False)


def test_a_pipe_is_read(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"secret words\n",))
    writer.start()
    assert read_passphrase(pipe, prompt=False) == b"secret words"
    writer.join()


def test_what_is_no_passphrase(tmp_path):
    for content in (b"", b"\n", b"x" * 1025, b"x" * 100_000):
        with pytest.raises(PassphraseError):
            read_passphrase(_file(tmp_path, content), prompt=False)
    for path in (tmp_path, tmp_path / "missing", None):
        with pytest.raises(PassphraseError):
            read_passphrase(path, prompt=False)


def test_the_terminal_is_asked_once_or_twice(monkeypatch):
    answers = iter(["words ü", "new words", "new words", "new words", "other words"])
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(answers))
    assert read_passphrase(None, prompt=True) == "words ü".encode()
    assert read_passphrase(None, prompt=True, confirm=True) == b"new words"
    with pytest.raises(PassphraseError):
        read_passphrase(None, prompt=True, confirm=True)


def test_no_terminal_is_an_error_with_a_way_out(monkeypatch):
    def no_terminal(prompt):
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", no_terminal)
    with pytest.raises(PassphraseError) as caught:
        read_passphrase(None, prompt=True)
    assert caught.value.hint

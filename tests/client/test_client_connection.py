"""The connection file: private, strict, and never a way to send the token to the wrong place."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest
import trustme

from trustcenter.client import Connection
from trustcenter.client.errors import ConnectionFileError, LocalFileError

CA = trustme.CA().cert_pem.bytes().decode()
GOOD = Connection(url="https://trust.example:8443", ca=CA, token="tc1_geheim", site="north")


def load(tmp_path: Path, text: str, mode: int = 0o600) -> Connection:
    path = tmp_path / "c.toml"
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return Connection.load(path)


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    GOOD.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = Connection.load(path)
    assert msgspec.structs.replace(found, ca=CA) == GOOD
    assert found.ca.strip() == CA.strip()
    with pytest.raises(LocalFileError):
        GOOD.save(path)


def test_it_shows_no_token() -> None:
    assert "geheim" not in repr(GOOD) + str(GOOD)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_others_must_not_read_it(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConnectionFileError, match="other users"):
        load(tmp_path, 'url = "http://127.0.0.1"\ntoken = "t"\nsite = "n"\n', mode)


BAD = {
    "not TOML": "url = ",
    "not UTF-8": "\udcff",
    "a field too many": 'url = "http://localhost"\ntoken = "t"\nsite = "n"\nproxy = "x"\n',
    "a wrong type": 'url = 1\ntoken = "t"\nsite = "n"\n',
    "nobody": 'url = "http://localhost"\ntoken = "t"\n',
    "two callers": 'url = "http://localhost"\ntoken = "t"\nsite = "n"\nstaff = "s"\n',
    "no token": 'url = "http://localhost"\ntoken = ""\nsite = "n"\n',
    "a token that ends a header": 'url = "http://localhost"\ntoken = "a\\r\\nX: y"\nsite = "n"\n',
    "http to elsewhere": 'url = "http://trust.example"\ntoken = "t"\nsite = "n"\n',
    "http to a name like localhost": 'url = "http://localhost.example"\ntoken = "t"\nsite = "n"\n',
    "no authority": 'url = "https://trust.example"\ntoken = "t"\nsite = "n"\n',
    "credentials": 'url = "https://a:b@trust.example"\nca = "x"\ntoken = "t"\nsite = "n"\n',
    "a query": 'url = "https://trust.example?x=1"\nca = "x"\ntoken = "t"\nsite = "n"\n',
    "another scheme": 'url = "ftp://127.0.0.1"\ntoken = "t"\nsite = "n"\n',
    "too large": "#" * 70_000,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_is_wrong_or_unsafe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    path.chmod(0o600)
    with pytest.raises(ConnectionFileError) as caught:
        Connection.load(path)
    assert caught.value.code == "connection_file"


def test_an_authority_that_is_none_is_refused() -> None:
    with pytest.raises(ConnectionFileError) as caught:
        msgspec.structs.replace(GOOD, ca="-----BEGIN NOTHING-----").tls()
    assert caught.value.where == "ca"


def test_only_the_pinned_authority_is_trusted() -> None:
    import ssl

    context = GOOD.tls()
    assert isinstance(context, ssl.SSLContext)
    assert len(context.get_ca_certs()) == 1
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFileError, match="does not exist"):
        Connection.load(tmp_path / "none.toml")

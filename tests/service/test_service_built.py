"""Types of messages are built before threads decode them: half built, one ends the process."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from trustcenter.http.routes.rooms import routes_of
from trustcenter.messages import built, rooms
from trustcenter.messages.receipts import Receipt

WITHOUT_HINTS = """
from trustcenter.http import app
from trustcenter.messages import api, built, rooms
import msgspec
built.build()
def late(*_, **__):
    raise AssertionError("a type is built when it is decoded")
msgspec._utils._eval_type = late
for kind in (api.MapUpload, api.RegisterRequest, *rooms.KINDS.values()):
    try:
        msgspec.json.decode(b"{}", type=kind)
    except msgspec.ValidationError:
        pass
class Later(msgspec.Struct):
    number: "int"
try:
    msgspec.json.decode(b"{}", type=Later)
except AssertionError:
    print("it would have been noticed")
"""


@pytest.mark.parametrize("room", ["both", "registrar", "comparator"])
def test_every_type_that_is_decoded_is_built(room: str) -> None:
    known = set(built.build())
    taken = {route.takes for route in routes_of(room) if isinstance(route.takes, type)}
    assert all(issubclass(kind, msgspec.Struct) for kind in taken)
    assert taken | {Receipt, *rooms.KINDS.values()} <= known


def test_what_is_built_is_not_built_again() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_HINTS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "it would have been noticed\n"), done.stderr

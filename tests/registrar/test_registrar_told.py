"""What the comparator answers to messages that no registrar of its own version and moment sends: a code, no failure."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests_support import make_instance

from trustcenter import config
from trustcenter.comparator import instructions, ledger, reconcile
from trustcenter.errors import TrustCenterError, http_status
from trustcenter.instance.opening import open_instance
from trustcenter.messages.reconcile import ReconcileRefs
from trustcenter.messages.rooms import Envelope


async def test_messages_that_are_unknown_here_are_refused_with_a_code(tmp_path: Path) -> None:
    make_instance(tmp_path / "instance")
    loaded = config.load(tmp_path / "instance")
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    async with open_instance(loaded, passphrase) as instance:
        room = instance.comparator
        before = await room.db.read(ledger.step)
        cases = (
            ("forget", "{}", "unknown_message", 400),
            ("retire", '{"study":"heart","refs":7}', "bad_message", 400),
            ("accept", "not JSON", "bad_message", 400),
            ("retire", '{"study":"heart","refs":"AAAAAAAAAAAAAAAAAAAAAA=="}', "rooms_out_of_step", 409),
        )
        for kind, payload, code, status in cases:
            with pytest.raises(TrustCenterError) as refused:
                await instructions.carry_out(room, Envelope(before=before, kind=kind, payload=payload))
            assert (refused.value.code, http_status(refused.value)) == (code, status)
        with pytest.raises(TrustCenterError) as refused:
            await reconcile.refs(room, ReconcileRefs(study="heart", low=b"", high=None, refs=b""))
        assert refused.value.code == "unknown_study"
        assert await room.db.read(ledger.step) == before

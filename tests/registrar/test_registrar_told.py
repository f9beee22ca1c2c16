"""What the comparator answers to messages that no registrar of its own version and moment sends: a code, no failure."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests_support import make_instance

from trustcenter import config
from trustcenter.comparator import instructions, ledger, reconcile
from trustcenter.errors import TrustCenterError, http_status
from trustcenter.instance.opening import open_instance
from trustcenter.messages.reconcile import ReconcileRefs, ReconcileStudy
from trustcenter.messages.rooms import Envelope, Params, StudyPhase

HEART = Params(
    study="heart",
    version=1,
    fingerprint="ab" * 32,
    passes=15,
    levels=[1, 2, 3, 4],
    caps=[5] * 15,
    minimum_rows=750,
    sources=["north"],
)


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

        # Rows that were accepted and are gone are asked for once, when the rooms are reconciled; then their acceptance,
        # which waited meanwhile, is carried out in its place.
        lost = Envelope(before=before, kind="accept", payload=f'{{"study":"heart","upload":"{"ab" * 16}"}}')
        with pytest.raises(TrustCenterError) as refused:
            await instructions.carry_out(room, lost)
        assert refused.value.code == "rooms_out_of_step"
        phase = StudyPhase(study="heart", takes_rows=True, purge=False)
        await reconcile.study(room, ReconcileStudy(params=HEART, phase=phase, accepted=["ab" * 16], window=0))
        await instructions.carry_out(room, lost)
        assert (await room.db.read(ledger.step)).number == before.number + 1

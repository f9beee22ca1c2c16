"""A block that outgrows the limit of pairs: windows in any order come to what a run over everything comes to."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import numpy as np
import pytest
from tests_support import make_instance

from linkage.join import BLOCK_PAIRS
from linkage.rows import ROW
from trustcenter import config
from trustcenter.comparator import instructions, uploads
from trustcenter.instance.between.port import LocalComparator
from trustcenter.instance.opening import open_instance
from trustcenter.instance.running import Rooms
from trustcenter.messages import api
from trustcenter.messages.rooms import EDGE_BYTES, Accept, Params, WindowOrder

CAP, FIRST, LATER = 10, 195, 9  # rows that a source has in the block; sources of the first window, and of the second
STUDY, PRINT = "heart", "ab" * 32


def rows_of(source: int) -> bytes:
    """As many rows as the cap allows, all of one token; the first is near to those of other sources, no other is."""
    chance = np.random.default_rng(source)
    rows = np.zeros(CAP, ROW)
    rows["token"] = 7
    rows["ref"] = chance.integers(0, 256, (CAP, 16))
    bits = chance.permuted(np.tile(np.arange(256) < 128, (CAP, 1)), axis=1)
    bits[0] = np.arange(256) < 128
    bits[0, source % 128] = False
    rows["filter"] = np.packbits(bits, axis=1)
    return rows[np.argsort([ref.tobytes() for ref in rows["ref"]])].tobytes()


@pytest.mark.soak
async def test_a_block_of_many_sources_is_compared_the_same_in_windows_and_in_bulk(tmp_path: Path) -> None:
    assert (FIRST * CAP) ** 2 // 2 < BLOCK_PAIRS < ((FIRST + LATER) * CAP) * ((FIRST + LATER) * CAP - 1) // 2
    make_instance(tmp_path / "instance")
    loaded = config.load(tmp_path / "instance")
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    names = [f"site-{n}" for n in range(FIRST + LATER)]
    params = Params(
        study=STUDY, version=1, fingerprint=PRINT, passes=1, levels=[25, 51, 76, 102], caps=[CAP], minimum_rows=1,
        sources=names,
    )  # fmt: skip
    async with open_instance(loaded, passphrase) as instance:
        rooms, room = Rooms(instance), instance.comparator
        await rooms.start()
        comparator = rooms.local
        assert isinstance(comparator, LocalComparator)
        await room.db.write(lambda conn: instructions.put_params(room, conn, params))

        async def send(source: int) -> None:
            data, name = rows_of(source), names[source]
            wanted = api.UploadOpen(version=1, fingerprint=PRINT, rows=CAP, chunks=1)
            upload = (await uploads.open_upload(room, name, STUDY, wanted)).upload
            await uploads.put_chunk(room, name, STUDY, upload, 0, data, hashlib.sha256(data).digest())
            await uploads.complete(room, name, STUDY, upload)
            accepted = Accept(study=STUDY, upload=upload)
            await room.db.write(lambda conn: instructions.accept(room, conn, accepted))

        async def window(number: int, previous: str, *, full: bool = False) -> tuple[set[bytes], str]:
            order = WindowOrder(
                study=STUDY, version=1, window=number, parameters_hash=PRINT, previous=previous, full=full
            )
            state = await comparator.start_window(order)
            while state.state == "running":
                state = await comparator.window(STUDY, number, 5.0)
            assert state.header is not None, state
            packed = b"".join([part async for part in comparator.edges(state.header)])
            await comparator.acknowledge(state.header)
            return {packed[at : at + EDGE_BYTES] for at in range(0, len(packed), EDGE_BYTES)}, state.header.link

        try:
            await asyncio.gather(*map(send, range(FIRST)))
            first, link = await window(1, "")
            await asyncio.gather(*map(send, range(FIRST, FIRST + LATER)))
            second, link = await window(2, link)
            everything, _ = await window(3, link, full=True)
        finally:
            await rooms.stop()
    assert len(first) >= FIRST * (FIRST - 1) // 2
    assert len(second) >= LATER * FIRST
    assert not first & second
    assert first | second == everything

"""Rule 2: every version is tried, a hit is complete or none, no hit has one answer, two hits are `ambiguous`."""

from __future__ import annotations

import os

import numpy as np
import pytest
from rules_support import NORTH, Files, Opened

from keys import computed
from keys.ids import Purpose
from keys.states import KeyAction
from trustcenter.errors import NotFoundError
from trustcenter.messages import api
from trustcenter.registrar.pseudonyms import layout
from trustcenter.registrar.reversal import reidentify
from trustcenter.store import Connection


async def act(center: Opened, version: int, action: KeyAction) -> None:
    domain = await center.domain("plain")

    def effect(conn: Connection) -> None:
        found = center.context.ring.versions(conn, domain.scope, Purpose.PSEUDONYM)
        center.context.ring.act(conn, found[version - 1], action)

    await center.context.db.write(effect)


async def test_every_version_that_may_resolve_is_tried_and_the_state_decides(files: Files) -> None:
    async with files.open() as center:
        old = await center.issue("plain", ["a", "b"])
        await center.rotate("plain")
        new = await center.issue("plain", ["a", "b"])
        assert (await center.translate("plain", [*old, *new])).pseudonyms == [*new, *new]
        await act(center, 1, KeyAction.DEACTIVATE)
        assert await center.verdicts("plain", old) == ["ok", "ok"]
        await act(center, 1, KeyAction.MARK_COMPROMISED)  # dual control only
        assert await center.verdicts("plain", [*old, *new]) == ["unknown_pseudonym", "unknown_pseudonym", "ok", "ok"]
        await act(center, 1, KeyAction.DESTROY)
        assert await center.verdicts("plain", [*old, *new]) == ["unknown_pseudonym", "unknown_pseudonym", "ok", "ok"]


async def test_no_version_ends_the_search(files: Files) -> None:
    """A batch costs as many decryptions as there are versions, whichever version the texts are of."""
    async with files.open() as center:
        texts = [await center.issue("plain", [f"o{n}" for n in range(40)])]
        for _ in range(5):
            await center.rotate("plain")
            texts.append(await center.issue("plain", [f"o{n}" for n in range(40)]))
        deciphered: list[int] = []
        real = center.context.keys.decipher

        def spy(domain: str, version: int, blocks: np.ndarray) -> np.ndarray:
            deciphered.append(version)
            return real(domain, version, blocks)

        center.context.keys.decipher = spy  # type: ignore[method-assign]
        for part in (*texts, ["7DKLPHW5FV25H6RLDXVRM8Z6P7M4"]):
            deciphered.clear()
            await center.verdicts("plain", part)
            assert deciphered == [1, 2, 3, 4, 5, 6]


async def test_each_part_of_a_hit_is_needed(files: Files) -> None:
    """Strings as only both stores together can make them, each wrong in one part."""
    async with files.open() as center:
        (good,) = await center.issue("plain", ["a"])
        (other,) = await center.issue("plain", ["b"])
        (row, _) = await center.rows("plain")
        serial, nonce = row[0], row[1]
        domain = await center.domain("plain")
        assert await center.forge("plain", 1, serial, nonce) == good
        wrong_nonce = await center.forge("plain", 1, serial, bytes([nonce[0] ^ 1]) + nonce[1:])
        no_row = await center.forge("plain", 1, serial + 100, nonce)
        # A version byte that is not the key's; a check field of another domain; counter zero.
        serials, nonces = np.array([serial], dtype=np.uint64), np.frombuffer(nonce, dtype=np.uint8).reshape(1, 5)

        def under(uuid: str, version: int, numbers: np.ndarray) -> str:
            blocks = computed.inner_blocks(domain.h, uuid, version, numbers, nonces)
            return computed.format_blocks(center.context.keys.encipher(domain.uuid, 1, blocks))[0]

        assert under(domain.uuid, 1, serials) == good
        bad = [
            wrong_nonce,
            no_row,
            under(domain.uuid, 2, serials),
            under("00" * 16, 1, serials),
        ]
        assert await center.verdicts("plain", bad) == ["unknown_pseudonym"] * 4
        assert (await center.remove("delete", "plain", [other])).results == ["deleted"]
        assert await center.verdicts("plain", [good, other]) == ["ok", "unknown_pseudonym"]


async def test_forged_deleted_foreign_and_never_issued_have_one_answer(files: Files) -> None:
    async with files.open() as center:
        await center.domain("elsewhere")
        (deleted, live) = await center.issue("plain", ["a", "b"])
        (foreign,) = await center.issue("elsewhere", ["a"])
        await center.remove("delete", "plain", [deleted])
        forged = computed.format_blocks(np.frombuffer(os.urandom(16), dtype=np.uint8).reshape(1, 16))[0]
        texts = [deleted, foreign, forged, "", "not a pseudonym", live.lower()]
        answer = await center.translate("plain", texts)
        assert answer.pseudonyms == [None] * 6
        assert {(e.code, e.hint) for e in answer.errors} == {
            ("unknown_pseudonym", "not a live pseudonym of this domain")
        }
        removed = await center.remove("delete", "plain", texts)
        assert {e.code for e in removed.errors} == {"unknown_pseudonym"}
        for text in texts:
            with pytest.raises(NotFoundError) as caught:
                await reidentify.create(
                    center.context, NORTH, "req", "plain",
                    api.ReidentifyRequest(reason="a reason that is long enough", pseudonyms=[text]),
                )  # fmt: skip
            assert caught.value.code == "unknown_pseudonym"


async def test_a_wrong_check_character_may_say_so_and_needs_no_look_up(files: Files) -> None:
    async with files.open() as center:
        (live,) = await center.issue("plain", ["a"])
        alphabet = "0123456789ACDEFGHJKLMNPQRTUVWXYZ"
        wrong = [live[:at] + next(c for c in alphabet if c != live[at]) + live[at + 1 :] for at in range(1, 28)]
        assert set(await center.verdicts("plain", wrong)) == {"wrong_check_characters"}
        # "Did you mean" comes from the code alone: it is the same beside a store that never issued the string.
        assert all(computed.suggest(text) == [live] for text in wrong)
        before = len(await center.entries("site:pseudonym:validate"))
        computed.suggest(wrong[0])
        assert len(await center.entries("site:pseudonym:validate")) == before


async def test_two_hits_are_ambiguous_and_never_the_first(files: Files) -> None:
    """A stored string that is somebody else's live computed pseudonym: import refuses it, so a hand puts it there."""
    async with files.open() as center:
        mine, other, clean = await center.issue("plain", ["a", "b", "c"])
        (row_mine, *_) = await center.rows("plain")
        domain = await center.domain("plain")
        (tag,) = layout.string_tags(center.context, domain, [other])

        def effect(conn: Connection) -> None:
            conn.execute("INSERT INTO stored_string VALUES (?,?,?,?,?)", (domain.id, tag, row_mine[0], b"\0" * 40, 0))
            conn.execute("UPDATE domain SET strings = strings + 1 WHERE id = ?", (domain.id,))

        await center.context.db.write(effect)
        assert await center.verdicts("plain", [mine, other, clean]) == ["ok", "ambiguous", "ok"]
        answer = await center.translate("plain", [other, clean])
        assert answer.pseudonyms == [None, clean]
        assert [(e.index, e.code) for e in answer.errors] == [(0, "ambiguous")]
        removed = await center.remove("delete", "plain", [other])
        assert (removed.rows, [e.code for e in removed.errors]) == (0, ["ambiguous"])
        with pytest.raises(NotFoundError):
            await reidentify.create(
                center.context, NORTH, "req", "plain",
                api.ReidentifyRequest(reason="a reason that is long enough", pseudonyms=[other]),
            )  # fmt: skip
        assert len([row for row in await center.rows("plain") if row[6] == 0]) == 3

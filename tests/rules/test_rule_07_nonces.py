"""Rule 7: nonces come from the kernel, inside the transaction that inserts them."""

from __future__ import annotations

import ast
import os
import threading
from pathlib import Path

import pytest
from rules_support import FORMAT, Files

from trustcenter.messages import api

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "options", [{}, {"multi": True}, {"expiry_days": 9}, {"suite": api.Suite.DRAWN, "format": FORMAT}]
)
async def test_every_nonce_is_asked_of_the_kernel_inside_the_transaction(files: Files, monkeypatch, options) -> None:
    async with files.open() as center:
        await center.domain("this", **options)
        writer = center.context.db
        asked: list[bytes] = []
        places: list[tuple[str, bool]] = []
        real = os.urandom

        def urandom(count: int) -> bytes:
            noise = real(count)
            asked.append(noise)
            places.append((threading.current_thread().name, inside[0]))
            return noise

        inside = [False]
        real_write = writer.write

        async def write(fn):
            def within(conn):
                inside[0] = conn.in_transaction
                try:
                    return fn(conn)
                finally:
                    inside[0] = False

            return await real_write(within)

        monkeypatch.setattr(writer, "write", write)
        monkeypatch.setattr(os, "urandom", urandom)
        for number in range(3):
            await center.issue("this", [f"{number}-{n}" for n in range(4)])
        monkeypatch.undo()
        noise = [block for block, place in zip(asked, places, strict=True) if place[1]]
        assert all("writer" in place[0] for place in places if place[1])
        nonces = [row[1] for row in await center.rows("this")]
        assert len(set(nonces)) == 12
        assert all(any(nonce in block for block in noise) for nonce in nonces)
        assert len(noise) >= 3  # asked anew by every transaction: no pool


async def test_a_transaction_that_is_repeated_draws_again(files: Files) -> None:
    """The same originals, serials and clock in two copies of one moment: the nonces differ."""
    twin = files.copy(files.dir.parent / "twin")
    seen = []
    for each in (files, twin):
        async with each.open() as center:
            await center.issue("plain", [str(n) for n in range(200)])
            seen.append(await center.rows("plain"))
    first, second = seen
    assert [row[0] for row in first] == [row[0] for row in second]
    assert not {row[1] for row in first} & {row[1] for row in second}


def test_no_generator_of_user_space_is_imported_where_rows_are_made() -> None:
    for package in ("keys", "trustcenter/registrar", "trustcenter/store", "trustcenter/audit"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [f"{node.module}.{alias.name}" for alias in node.names]
                forbidden = [n for n in names if n.split(".")[0] == "random" or n.startswith("numpy.random")]
                assert not forbidden, f"{path.name} imports {forbidden}"
                if isinstance(node, ast.Attribute) and node.attr == "random":
                    assert not (isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy")), path.name

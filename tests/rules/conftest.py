"""An instance with two sites and two approvers, made once; every test gets a copy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from rules_support import Files

from keys.kdf import CHEAP_FOR_TESTS
from keys.personal import PersonalKey
from keys.store import KeyStore
from trustcenter.instance import setup
from trustcenter.store import Connection


@contextlib.contextmanager
def cheap_key_stores() -> Iterator[None]:
    """New key stores get the profile for tests: these open an instance a hundred times, each time two key stores."""
    defaults = KeyStore.create.__func__.__kwdefaults__  # type: ignore[attr-defined]
    before = dict(defaults)
    defaults["kdf"] = CHEAP_FOR_TESTS
    try:
        yield
    finally:
        defaults.update(before)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Files:
    files = Files(tmp_path_factory.mktemp("rules") / "center")
    with cheap_key_stores():
        asyncio.run(setup.create(files.dir, None, port=0))

    async def found() -> None:
        async with files.open() as center:
            directory = center.context.directory

            def effect(conn: Connection) -> None:
                for site in ("north", "south"):
                    directory.add_site(conn, site, "diz", site.title())
                for name in ("anna", "bernd"):
                    key = PersonalKey.generate()
                    key.save(files.dir / f"{name}.key")
                    directory.add_staff(conn, name, "approver", key.public)

            await center.context.db.write(effect)
            await center.domain("plain", deletable=True)

    asyncio.run(found())
    return files


@pytest.fixture
def files(template: Files, tmp_path: Path) -> Files:
    return template.copy(tmp_path / "center")

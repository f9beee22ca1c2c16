"""An instance with two sites and two approvers, made once; every test gets a copy."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rules_support import Files
from tests_support import make_instance

from keys.personal import PersonalKey
from trustcenter.store import Connection


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Files:
    files = Files(tmp_path_factory.mktemp("rules") / "center")
    make_instance(files.dir)

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

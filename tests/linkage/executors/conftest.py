"""Rows files of three sources whose tokens collide often."""

import hashlib

import msgspec
import numpy as np
import pytest

from linkage.rows import ROW, sort_order, write_rows


def draw(name, *shape):
    """Bytes from SHAKE-256, the same everywhere."""
    size = int(np.prod(shape))
    return np.frombuffer(bytearray(hashlib.shake_256(name.encode()).digest(size)), np.uint8).reshape(shape)


def make_rows(name, n, passes=15, tokens=60):
    """(n,) ROW sorted by ref: few tokens over the whole range of prefixes, filters that are close to each other."""
    rows = np.zeros(n, ROW)
    rows["ref"] = draw(f"ref {name}", n, 16)
    rows["pass"] = draw(f"pass {name}", n) % passes
    rows["token"][:, 0] = draw(f"token {name}", n) % tokens * (256 // tokens)
    rows["filter"] = draw(f"filter {name}", n, 32) & draw(f"mask {name}", n, 32)
    return rows[sort_order(rows["ref"])]


@pytest.fixture(scope="session")
def schema():
    """The shipped schema with caps that these blocks stay under."""
    from linkage import load_schema

    shipped = load_schema("febrl/1")
    passes = tuple(msgspec.structs.replace(p, cap=100) for p in shipped.passes)
    return msgspec.structs.replace(shipped, passes=passes)


@pytest.fixture(scope="session")
def write(schema):
    """`write(folder, sizes, **header)`: rows files of sources → (paths, tables)."""

    def make(folder, sizes, **change):
        header = {"study": "s", "version": 1, "fingerprint": schema.fingerprint, "passes": schema.P}
        paths, tables = [], []
        for name, n in sizes.items():
            rows = make_rows(name, n)
            path = folder / f"{name}.tcrows"
            write_rows(path, rows, {**header, "source": name, **change})
            paths.append(path)
            tables.append(rows)
        return paths, tables

    return make

"""Rows files of three sources whose tokens collide often."""

import msgspec
import pytest
from rows_support import make_rows

from linkage.rows import write_rows


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

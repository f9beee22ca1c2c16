"""A comparator that was restored alone, where only files are carried: they reconcile the rooms."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from apart_support import Apart, running
from test_service_by_hand import carry, require_same_refs, start, step, waiting, work
from tests_support import ON_POSTGRES

from trustcenter.client import RemoteError

pytestmark = [pytest.mark.soak, pytest.mark.files, pytest.mark.skipif(ON_POSTGRES, reason="copies files")]


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    yield from running(tmp_path_factory.mktemp("restored"), by_hand=True)


def database(apart: Apart) -> Path:
    return apart.rooms["comparator"].dir / "comparator" / "comparator.db"


def keep(apart: Apart, copy: Path) -> None:
    """Back the comparator's store up."""
    with sqlite3.connect(database(apart)) as source, sqlite3.connect(copy) as old:
        source.backup(old)


def restore(apart: Apart, copy: Path) -> None:
    """Restore it alone."""
    live, path = apart.rooms["comparator"], database(apart)
    live.kill()
    for part in path.parent.glob("comparator.db*"):
        part.unlink()
    path.write_bytes(copy.read_bytes())
    path.chmod(0o600)
    live.start()


async def reconcile(apart: Apart, folder: Path) -> None:
    """The two rounds that do it."""
    out, back = folder / "out", folder / "back"
    await work(apart, "registrar", "export", out)
    await work(apart, "comparator", "carry_out", out, back, refused="rooms_out_of_step")
    assert (await work(apart, "registrar", "bring", back)).code == "rooms_out_of_step"
    assert (await work(apart, "registrar", "export", out)).reconciles
    await work(apart, "comparator", "carry_out", out, back)
    await work(apart, "registrar", "bring", back)


async def test_a_correction_that_is_undone_in_that_very_round_loses_no_row(apart: Apart, tmp_path: Path) -> None:
    await carry(apart, "params")
    assert (await apart.upload("south", 500, 120)).sent == 120
    await carry(apart, "rows")
    keep(apart, tmp_path / "old.db")
    assert (await apart.upload("north", 900, 60)).sent == 60
    await carry(apart, "lost")
    for street in ("Neue Allee", ""):
        assert (await apart.upload("south", 500, 120, street)).sent == 120
    assert waiting(apart) >= 3  # that the rows of before go, and two uploads, the second with those rows again
    restore(apart, tmp_path / "old.db")
    await reconcile(apart, tmp_path)
    await carry(apart, "after")
    require_same_refs(apart)
    assert (await apart.upload("south", 500, 120)).sent == 0
    assert (await apart.upload("north", 900, 60)).sent == 60
    await carry(apart, "again")
    require_same_refs(apart)
    assert step(apart, "registrar") == step(apart, "comparator")


async def test_a_comparator_restored_alone_is_reconciled_by_files(apart: Apart, tmp_path: Path) -> None:
    keep(apart, tmp_path / "old.db")
    assert (await apart.upload("south", 60, 200)).records == 200
    run = start(apart)
    await carry(apart, "before")
    run = apart.follow(run)
    before = sum(source["records"] for source in run["counts"]["sources"])
    restore(apart, tmp_path / "old.db")
    run = start(apart)
    out, back = tmp_path / "out", tmp_path / "back"
    await work(apart, "registrar", "export", out)
    await work(apart, "comparator", "carry_out", out, back, refused="rooms_out_of_step")
    assert (await work(apart, "registrar", "bring", back)).code == "rooms_out_of_step"
    assert (await work(apart, "registrar", "export", out)).reconciles
    assert (await apart.upload("north", 600, 60)).sent == 60
    with pytest.raises(RemoteError) as early:  # the file does not know these rows, and would drop them
        await apart.upload("north", 600, 120)
    assert early.value.code == "upload_waits_for_files"
    await work(apart, "comparator", "carry_out", out, back)
    await work(apart, "comparator", "carry_out", out, back)  # the first answer was lost
    await work(apart, "registrar", "bring", back)
    await work(apart, "registrar", "bring", back)
    run = apart.follow(run)
    assert run["state"] == "applied", run
    assert (await apart.upload("south", 60, 200)).rows > 80 * 14  # whole groups of records
    assert (await apart.upload("north", 600, 120)).sent == 60
    assert (await apart.upload("north", 600, 180)).sent >= 60  # the upload before is live now
    await work(apart, "comparator", "carry_out", out, back)  # the file comes once more: it drops none of all that
    await carry(apart, "between")
    await apart.upload("south", 500, 200)  # some share a group with those that had lost rows, some are new
    run = start(apart)
    await carry(apart, "after")
    run = apart.follow(run)
    assert run["state"] == "applied", run
    assert sum(source["records"] for source in run["counts"]["sources"]) == before + 260
    require_same_refs(apart)
    assert step(apart, "registrar") == step(apart, "comparator")

"""Linkage at scale: row files to decided pairs, windows against an index, bad data, Dask, and the peer where it is.

make bench ARGS="scale --records 1000000 --data /var/tmp/rows"    # the encoded sources are kept there
make bench ARGS="scale --records 1e7 --simulated --parts linked window --data /var/tmp/rows"    # 60 GB of disk
make bench ARGS="scale --records 5000 --sites 30 --parts linked"
make bench ARGS="scale --parts peer --peer /path/to/python"       # an interpreter that has anonlink and clkhash
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from scale_dask import side_by_side
from scale_link import encode_into, linked, measured
from scale_peer import beside_the_peer
from scale_rows import simulate

from linkage import load_schema
from linkage.executors import Processes
from linkage.index import TokenIndex, Window
from linkage.maps import stream_map
from linkage.rows import stream_rows
from linkage.schema import Schema
from linkage.synth import SiteSpec, SynthConfig, generate


def scale(options: argparse.Namespace) -> None:
    """All of it; every line is printed as soon as it is known."""
    n, sites = int(float(options.records)), options.sites
    schema = load_schema("de-person/1")
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(options.data) if options.data else Path(scratch)
        names = ["left", "right"] if sites == 2 else [f"site{i:02}" for i in range(sites)]
        folders = []
        if not {"linked", "window", "dask"}.intersection(options.parts):
            pass  # the others make sources of their own
        elif options.simulated:
            folders = _simulated(schema, base / f"simulated-{sites}x{n}", names, n)
        else:
            folders = _sources(schema, base / f"{sites}x{n}", names, n)
        work = Path(scratch) / "work"
        if "linked" in options.parts:
            for _ in range(options.repeat):
                linked(schema, folders, work, f"{sites} x {n:,}", Processes(2))
            shutil.rmtree(work)
        if "window" in options.parts:
            _window(schema, folders, Path(scratch) / "index", n)
        if "dask" in options.parts:
            side_by_side(folders, work, options.repeat)
        if "bad" in options.parts:
            _bad_data(schema, Path(scratch), int(float(options.bad)))
        if "peer" in options.parts and options.peer:
            beside_the_peer(schema, options.peer, Path(scratch), int(float(options.peer_records)))


def _sources(schema: Schema, base: Path, names: list[str], n: int) -> list[Path]:
    """Encoded sources, made unless they are there."""
    folders = [base / name for name in names]
    if all((f / "map.tcmap").exists() for f in folders):
        return folders
    with measured(f"generate and encode {len(names)} x {n:,}, one process"):
        config = SynthConfig("bench/scale", tuple(SiteSpec(name, n) for name in names), overlap=0.5)
        for name, table in generate(config).sites.items():
            encode_into(schema, base / name, name, table.columns, table.ids)
    return folders


def _simulated(schema: Schema, base: Path, names: list[str], n: int) -> list[Path]:
    """Sources of rows that nobody encoded, made unless they are there."""
    folders = [base / name for name in names]
    if not (base / "done").exists():
        with measured(f"simulate rows, {len(names)} x {n:,}"):
            simulate(schema, folders, n)
            (base / "done").touch()
    return folders


def _window(schema: Schema, folders: list[Path], folder: Path, n: int) -> None:
    """10,000 records of the second source against an index of the first."""
    index = TokenIndex.create(folder, "bench", 1, schema)
    with measured(f"index: load {n:,} records"):
        index.load([folders[0] / "rows.tcrows"])
    entries = next(stream_map(folders[1] / "map.tcmap", 10_000))
    wanted = np.sort(np.ascontiguousarray(entries["refs"]).reshape(-1, 16).view("S16").reshape(-1))
    parts = []
    for part in stream_rows(folders[1] / "rows.tcrows"):
        refs = np.ascontiguousarray(part["ref"]).view("S16").reshape(-1)
        near = np.minimum(np.searchsorted(wanted, refs), len(wanted) - 1)
        parts.append(part[wanted[near] == refs])
    window = Window({"right": np.concatenate(parts)})
    with measured(f"index: look up {len(entries):,} new records among {n:,}") as told:
        told.append(f"{len(index.look_up(window).table):,} edges")
    with measured("index: add them"):
        index.apply(window)
    shutil.rmtree(folder)


def _bad_data(schema: Schema, base: Path, n: int) -> None:
    """The same sources with 5 % default values, and one name for a twentieth of all; what that costs more."""
    made = generate(SynthConfig("bench/bad", (SiteSpec("left", n), SiteSpec("right", n)), overlap=0.5))
    spent: list[tuple[float, float]] = []  # processor seconds: encoding both, linking them
    for kind in ("as they are", "5 % default birth dates and no address, one name for 5 %"):
        folders, start = [], time.process_time()
        for name, table in made.sites.items():
            columns = {k: list(v) for k, v in table.columns.items()}
            if kind != "as they are":
                for i in range(0, n, 20):
                    columns["birth_date"][i] = "1900-01-01"
                    for field in ("street", "house_number", "postcode", "town"):
                        columns[field][i] = ""
                for i in range(10, n, 20):
                    columns["given_name"][i], columns["surname"][i] = "Maria", "Müller"
            folder = base / f"bad-{kind[0]}" / name
            with measured(f"bad data, {n:,}, {kind}: encode {name}"):
                encode_into(schema, folder, name, columns, table.ids)
            folders.append(folder)
        encoded = time.process_time() - start
        found = linked(schema, folders, base / "work", f"bad data, 2 x {n:,}, {kind}", Processes(2))
        spent.append((encoded, max(0.01, found.processor)))
    encoding, linking = (bad / good for good, bad in zip(*spent, strict=True))
    whole = sum(spent[1]) / sum(spent[0])
    print(f"   bad data cost: {encoding:.2f} times to encode, {linking:.2f} to link, {whole:.2f} together", flush=True)

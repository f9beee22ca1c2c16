"""`make bench`: the figures of docs/benchmarks.md, with the peer in the same run where there is one.

make bench                                        # everything, about ten minutes on two cores
make bench ARGS="pseudonyms febrl"                # some of it
make bench ARGS="pseudonyms --rows 1e6 10e6 50e6 --store /var/tmp/store"    # the long curve; the store is kept
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable
from importlib import import_module

from bench_load import Load

SECTIONS: dict[str, tuple[str, str, str]] = {
    "pseudonyms": ("bench_service", "pseudonyms", "new and known pseudonyms over HTTPS, durably stored"),
    "speed": ("linkage_bench", "speed", "records encoded a second and core; 100,000 x 100,000 from rows to pairs"),
    "febrl": (
        "linkage_bench",
        "quality",
        "FEBRL 4 without the social security number, beside plaintext Fellegi-Sunter",
    ),
    "german": (
        "linkage_bench",
        "households",
        "synthetic German sites with households; a practice with nobody in common",
    ),
    "accuracy": ("accuracy_bench", "accuracy", "FEBRL, hospitals, profiles, 48 synthetic cases, beside plaintext"),
    "draws": ("draws_bench", "draws", "FEBRL 4 with 10 and 50 % in common, over twenty draws of who they are"),
    "dedupe": ("dedupe_bench", "duplicates", "duplicates in one source: FEBRL 1 to 3, synthetic Germans, beside ECM"),
    "attack": ("attack_bench", "attacks", "what an attacker with all plaintexts re-identifies at the comparator"),
    "scale": ("scale_bench", "scale", "row files to decided pairs, windows, bad data, Dask, the peer"),
    "windows": ("window_bench", "windows", "a study in the service: registration, first window, later windows"),
    "keys": ("keys_bench", "keys", "rotation: cut-over, map, verification, data key; what others wait meanwhile"),
    "padding": ("practice_bench", "padding", "small uploads of a practice, alone and padded with decoys"),
    "audit": ("audit_bench", "audit", "what the log costs; export, verification and proofs of a long one"),
}
Row = tuple[str, str, str]


def main() -> int:
    """Run the wanted sections one after the other."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], help="all of them if none is named")
    curve = parser.add_argument_group("pseudonyms")
    curve.add_argument("--rows", nargs="+", default=["3e5"], help="sizes of the store at which to measure")
    curve.add_argument("--store", help="directory of a store that is kept and continued; default: a new one")
    curve.add_argument("--postgres", action="store_true", help="into a PostgreSQL server, started for it")
    curve.add_argument("--seconds", type=float, default=10, help="of single requests, at each size")
    curve.add_argument("--window", type=int, default=300_000, help="new and known originals at each size")
    curve.add_argument("--parallel", type=int, default=2, help="requests of 10,000 at a time")
    large = parser.add_argument_group("scale")
    windows = parser.add_argument_group("windows")
    windows.add_argument("--known", default="1e5", help="records in each site before")
    windows.add_argument("--weights", help="store of a smaller study: in place of a first run, whose weights it lends")
    windows.add_argument("--fresh", default="2e4", help="new records, half of them in each of two windows")
    large.add_argument("--records", default="1e5", help="in each source")
    large.add_argument("--sites", type=int, default=2, help="also of windows")
    large.add_argument("--data", help="directory where encoded sources are kept")
    large.add_argument("--simulated", action="store_true", help="rows that nobody encoded (scale_rows.py): for 1e7")
    large.add_argument("--repeat", type=int, default=1, help="of the whole linkage")
    parts = ("linked", "window", "dask", "bad", "peer")
    large.add_argument("--parts", nargs="+", choices=parts, default=parts, help="some of it")
    large.add_argument("--bad", default="2e4", help="records in each source of bad data")
    large.add_argument("--peer-records", default="1e4", help="records in each source beside the peer")
    large.add_argument("--peer", help="an interpreter that has anonlink and clkhash")
    quality = parser.add_argument_group("accuracy")
    parts = ("febrl", "hospitals", "profiles", "matrix")
    quality.add_argument("--accuracy-parts", nargs="+", choices=parts, default=parts, help="some of it")
    quality.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds it")
    several = parser.add_argument_group("draws")
    several.add_argument("--shares", nargs="+", choices=("10", "50"), default=("10", "50"), help="in common, per cent")
    several.add_argument("--first", type=int, default=1, help="seed")
    several.add_argument("--last", type=int, default=20, help="seed")
    attacked = parser.add_argument_group("attack")
    named = ("febrl", "hyb15", "self15", "self22", "wide22", "fine16", "lone15", "names12")
    attacked.add_argument("--profiles", nargs="+", choices=named, default=named, help="some of it")
    attacked.add_argument("--attacked", default="5e3", help="records of each German site")
    parser.add_argument_group("audit").add_argument("--entries", default="1e6", help="of the long log")
    rotation = parser.add_argument_group("keys")
    rotation.add_argument("--rotated", default="2e5", help="pseudonyms of the domain")
    steps = ("fill", "cutover", "map", "data", "lookup")
    rotation.add_argument("--stages", nargs="+", choices=steps, default=steps, help="some of it; with --store")
    options = parser.parse_args()
    wanted = options.sections or list(SECTIONS)
    print(f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}")
    for name in wanted:
        module, function, title = SECTIONS[name]
        run: Callable[..., list[Row] | None] = getattr(import_module(module), function)
        print(f"\n== {name}: {title}", flush=True)
        load = Load()
        asks = name in ("pseudonyms", "scale", "windows", "audit", "keys", "accuracy", "draws", "attack")
        for what, ours, peer in (run(options) if asks else run()) or ():
            print(f"   {what:<52} {ours}" + (f"\n   {'':<52} {peer}" if peer else ""), flush=True)
        print(f"   foreign load meanwhile: {load.foreign():.0%} of the machine", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

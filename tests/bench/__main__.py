"""`make bench`: the figures of docs/benchmarks.md, with the peer in the same run where there is one.

make bench                                  # everything, about ten minutes on two cores
make bench ARGS="pseudonyms febrl"          # some of it
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable
from importlib import import_module

from bench_load import Load

SECTIONS: dict[str, tuple[str, str]] = {
    "pseudonyms": ("bench_service", "new and known pseudonyms over HTTPS, durably stored"),
    "encode": ("bench_linkage", "records encoded a second and core"),
    "join": ("bench_linkage", "100,000 x 100,000 from rows to pairs"),
    "febrl": ("bench_linkage", "FEBRL 4 at full and half overlap, beside plaintext Fellegi-Sunter"),
    "german": ("bench_linkage", "German synthetic with households, three sites; a practice with nobody in common"),
}


def main() -> int:
    """Run the wanted sections one after the other."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], help="all of them if none is named")
    wanted = parser.parse_args().sections or list(SECTIONS)
    print(f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}")
    for name in wanted:
        module, title = SECTIONS[name]
        run: Callable[[], None] = getattr(import_module(module), name)
        print(f"\n== {name}: {title}", flush=True)
        load = Load()
        run()
        print(f"   foreign load meanwhile: {load.foreign():.0%} of the machine", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The peer, run by an interpreter of its own: clkhash encodings, anonlink's exact comparison, greedy one-to-one.

python anonlink_peer.py LEFT.tsv RIGHT.tsv    # normalised columns, separated by tabs
Prints "time STAGE SECONDS PROCESSOR-SECONDS" and "pairs THRESHOLD i,j ...", separated by tabs.
"""

import os
import sys
import time
from array import array
from multiprocessing import Pool
from pathlib import Path

from anonlink.candidate_generation import find_candidate_pairs
from anonlink.similarities import dice_coefficient_accelerated
from anonlink.solving import greedy_solve
from clkhash import clk
from clkhash.comparators import NgramComparison
from clkhash.field_formats import BitsPerTokenStrategy, FieldHashingProperties, StringSpec
from clkhash.schema import Schema

THRESHOLDS = (0.5, 0.54, 0.58, 0.62, 0.66, 0.7, 0.74, 0.78, 0.82, 0.86, 0.9)


def compare(part):
    """Exact comparison of some records of the left source with all of the right one → (similarity, left, right)."""
    left, right, offset = part
    sims, _, (i, j) = find_candidate_pairs([left, right], dice_coefficient_accelerated, THRESHOLDS[0])
    return [(s, a + offset, b) for s, a, b in zip(sims, i, j, strict=True)]


def clocks():
    """Seconds by the wall, and processor seconds of this process and of those that it started and that ended."""
    used = os.times()
    return time.perf_counter(), used.user + used.system + used.children_user + used.children_system


def tell(stage, since):
    """Print how long a stage took, by both clocks."""
    print("time", stage, *(now - then for now, then in zip(clocks(), since, strict=True)), sep="\t")


def main() -> None:
    """Bigrams of every column into 1,024 bits, 4 bits a bigram: the best of those that were measured."""
    start = clocks()
    encoded = []
    for name in sys.argv[1:3]:
        rows = [line.split("\t") for line in Path(name).read_text(encoding="utf-8").splitlines()]
        fields = [
            StringSpec(f"f{i}", FieldHashingProperties(NgramComparison(2), BitsPerTokenStrategy(4)))
            for i in range(len(rows[0]))
        ]
        encoded.append(clk.generate_clks(rows, Schema(fields, 1024, kdf_info=b"", kdf_salt=b""), "secret", False))
    tell("encode", start)
    start = clocks()
    middle = len(encoded[0]) // 2
    with Pool(2) as pool:  # nearly all of the work is one pass over all pairs, so two halves take half the time
        halves = pool.map(compare, [(encoded[0][:middle], encoded[1], 0), (encoded[0][middle:], encoded[1], middle)])
        pool.close()
        pool.join()  # else their processor time is not known
    found = sorted((pair for half in halves for pair in half), reverse=True)
    sims = [s for s, _, _ in found]
    sets = ([0] * len(found), [1] * len(found))
    records = ([i for _, i, _ in found], [j for _, _, j in found])
    tell("compare, two processes", start)
    start = clocks()
    for threshold in THRESHOLDS:
        count = sum(s >= threshold for s in sims)  # sorted, closest first
        part = (
            array("d", sims[:count]),
            tuple(array("I", x[:count]) for x in sets),
            tuple(array("I", x[:count]) for x in records),
        )
        groups = [sorted(g) for g in greedy_solve(part)]
        pairs = " ".join(f"{g[0][1]},{g[1][1]}" for g in groups if len(g) == 2)
        print("pairs", threshold, pairs, sep="\t")
    tell("solve (all thresholds)", start)


if __name__ == "__main__":
    main()

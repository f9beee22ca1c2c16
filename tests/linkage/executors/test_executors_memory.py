"""Workers keep the memory that they free: the next chunk wants as much."""

import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import numpy as np
from linkage.executors.memory import keep_memory

if sys.argv[1] == "keep":
    keep_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.ones(100_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_pages_are_not_fetched_again():
    def fetched(how):
        # As Dask starts its workers.
        settings = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
        made = subprocess.run(
            [sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=True, env=settings
        )
        return int(made.stdout)

    assert fetched("no") > 5000
    assert fetched("keep") < 500

"""What large arrays leave behind goes back to the system."""

from __future__ import annotations

import subprocess
import sys

CHILD = """
import re, sys, threading
from pathlib import Path
from trustcenter.instance.memory import give_back
give_back()
def held():
    return int(re.search("RssAnon:\\\\s*([0-9]+)", Path("/proc/self/status").read_text())[1]) // 1024
def work(kept):
    for size in (30, 20, 12):
        block = bytearray(size * 2**20)
        kept.append(bytearray(64))  # lies behind the block, where the heap would have to end to be given back
        del block
before, kept = held(), []
for _ in range(6):
    thread = threading.Thread(target=work, args=(kept,))
    thread.start()
    thread.join()
print(held() - before)
"""


def test_large_arrays_are_given_back_whichever_thread_made_them() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, check=True, text=True)
    assert int(done.stdout) < 8, done.stdout

"""How much of the machine others took while something was measured: one busy neighbour halves a two-thread run."""

from __future__ import annotations

import os
from pathlib import Path


class Load:
    """Takes the kernel's tick counts at its start and compares."""

    def __init__(self) -> None:
        self._total, self._idle = self._ticks()
        self._own = self._own_ticks()

    @staticmethod
    def _ticks() -> tuple[int, int]:
        fields = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]  # idle and waiting for the disk

    @staticmethod
    def _own_ticks() -> int:
        times = os.times()
        hertz = os.sysconf("SC_CLK_TCK")
        return round(hertz * (times.user + times.system + times.children_user + times.children_system))

    def foreign(self) -> float:
        """Share of all ticks that neither idled nor belonged to this process and its ended children.

        Steal counts as foreign. A child that still runs counts as foreign, too: end it before asking.
        """
        total, idle = self._ticks()
        spent = max(1, total - self._total)
        return max(0.0, (spent - (idle - self._idle) - (self._own_ticks() - self._own)) / spent)

"""How much of the machine others took while something was measured: one busy neighbour halves a two-thread run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


class Load:
    """Takes the kernel's tick counts at its start and compares."""

    def __init__(self, children: Iterable[int] = ()) -> None:
        """Args: children: processes that count as our own though we did not start them, with what they started."""
        self._children = tuple(children)
        self._before = self._ticks()
        self._own = self._own_ticks()

    @staticmethod
    def _ticks() -> dict[str, int]:
        names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
        values = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        return dict(zip(names, map(int, values), strict=True))

    def _own_ticks(self) -> int:
        return cpu_ticks(os.getpid(), *self._children)

    def foreign(self) -> float:
        """Share of all ticks that neither idled nor belonged to this process, what it started and those named.

        Steal counts as foreign.
        """
        spent = self._spent()
        idle = spent["idle"] + spent["iowait"]  # waiting for the disk
        total = max(1, sum(spent.values()))
        return max(0.0, (total - idle - (self._own_ticks() - self._own)) / total)

    def told(self) -> str:
        """All of it in words."""
        spent = self._spent()
        total = max(1, sum(spent.values()))
        return (
            f"others {self.foreign():.0%}, steal {spent['steal'] / total:.0%}, "
            f"nice {spent['nice'] / total:.0%}, idle {spent['idle'] / total:.0%}, "
            f"waiting for the disk {spent['iowait'] / total:.0%}"
        )

    def _spent(self) -> dict[str, int]:
        return {name: value - self._before[name] for name, value in self._ticks().items()}


def cpu_ticks(*pids: int) -> int:
    """Ticks that processes, what they started and what that started have used, ended ones included; each once."""
    used: dict[int, tuple[int, int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(") ")[2].split()
        except OSError:  # ended meanwhile
            continue
        used[int(entry.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    family, size = set(pids), 0
    while size < len(family):
        size = len(family)
        family |= {child for child, (parent, _) in used.items() if parent in family}
    return sum(used[member][1] for member in family if member in used)

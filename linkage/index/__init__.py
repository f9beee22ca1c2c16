"""An index of rows on disk, sorted by token: a window of new rows is a look-up (docs/spec/token-index.md).

from linkage.index import TokenIndex, Window

index = TokenIndex.create(path, study, version, schema)
index.load([Path("hospital/rows.tcrows")])
window = Window({"practice": rows}, retired)
edges = index.look_up(window)   # of the new rows, with everything that is known and live
index.apply(window)             # durable, all or nothing, harmless if repeated
"""

from __future__ import annotations

from linkage.index.index import TokenIndex
from linkage.index.window import Window

__all__ = ["TokenIndex", "Window"]

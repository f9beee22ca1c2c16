"""Charts as SVG: without script, font or network, and never with colour as the only carrier of a meaning.

    from linkage.charts import bars, columns, curves

Each returns one `<svg>` element, which may stand in a page or, written by `save`, in a file of its own.
"""

from linkage.charts.plot import columns, curves
from linkage.charts.rows import bars
from linkage.charts.save import drawer_of, save

__all__ = ["bars", "columns", "curves", "drawer_of", "save"]

"""What a source is like before anything is encoded (docs/how-to/check-a-source.md).

from linkage.check import check
"""

from linkage.check.collect import check
from linkage.check.report import Report

__all__ = ["Report", "check"]

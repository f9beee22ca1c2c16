"""What a practice, rescue service or insurer can export, read into the columns that linkage takes."""

from .exports import Export, read_export

__all__ = ["Export", "read_export"]

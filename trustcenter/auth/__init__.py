"""Who is calling: bearer tokens (stored as hashes only), sites, staff and their roles."""

from .directory import MIGRATIONS, Directory, Principal

__all__ = ["MIGRATIONS", "Directory", "Principal"]

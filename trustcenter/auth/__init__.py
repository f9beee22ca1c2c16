"""Who is calling: tokens and certificates (stored as hashes only), sites, staff and their roles; and how often."""

from .directory import MIGRATIONS, Directory, IssuedToken, Owner, Principal

__all__ = ["MIGRATIONS", "Directory", "IssuedToken", "Owner", "Principal"]

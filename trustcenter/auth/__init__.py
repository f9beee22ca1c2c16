"""Who is calling: tokens and certificates (stored as hashes only), sites, staff and their roles; and how often."""

from trustcenter.messages.api import Operation

from .callers import IssuedToken, Owner, Principal
from .directory import MIGRATIONS, Directory
from .scopes import Scope

__all__ = ["MIGRATIONS", "Directory", "IssuedToken", "Operation", "Owner", "Principal", "Scope"]

"""Backups and what becomes of them: copied, shipped, restored, reopened, moved to another store."""

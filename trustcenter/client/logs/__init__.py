"""Exported logs: proofs, cosignatures, tables, and the report of a study."""

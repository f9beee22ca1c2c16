"""Normalisation of personal data before encoding (docs/spec/normalisation.md)."""

from linkage.normalise.prepare import Prepared, prepare

__all__ = ["Prepared", "prepare"]

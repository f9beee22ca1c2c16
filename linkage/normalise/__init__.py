"""Normalisation of personal data before encoding (docs/spec/normalisation.md)."""

from linkage.normalise.further import Further
from linkage.normalise.prepare import Prepared, prepare

__all__ = ["Further", "Prepared", "prepare"]

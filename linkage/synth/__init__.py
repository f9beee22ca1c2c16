"""Synthetic German patients at several sites, with households, twins, marriages, moves and errors."""

from linkage.synth.config import SiteSpec, SynthConfig
from linkage.synth.generate import Synthetic, generate, write_csv

__all__ = ["SiteSpec", "SynthConfig", "Synthetic", "generate", "write_csv"]

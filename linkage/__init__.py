"""Deterministic, key-agnostic record linkage over keyed passes."""

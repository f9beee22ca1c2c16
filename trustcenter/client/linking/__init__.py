"""Linkage without a service: files in, pairs, persons and their evaluation out."""

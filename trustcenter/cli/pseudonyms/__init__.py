"""Pseudonyms at a site: whole files and single ones, their domains, re-identification, answers for a person."""

"""The trust center: an isolated service that issues pseudonyms and links records across sites."""

__version__ = "0.1.0"

"""Consent: what sites send, what follows from it, and where it stands in the way."""

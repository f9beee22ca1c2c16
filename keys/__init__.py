"""Secrets and nothing else: key store, key states, pseudonym suites, tags, sealing and signing."""

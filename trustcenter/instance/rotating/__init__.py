"""A room's own keys and the passphrase of its key store: rotated, leaked, destroyed."""

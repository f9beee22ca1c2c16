"""Secrets and nothing else.

    keys.store        sealed key store, and what may be done with its keys
    keys.ids          names of keys: scope, purpose, version
    keys.states       lifecycle of a key version, a pure state machine
    keys.computed     pseudonym suite "computed": blocks and text form
    keys.hybrid       recipient keys and sealed messages
    keys.personal     personal keys of staff and their signatures
    keys.secretfiles  study secret and site key
    keys.passphrase   reading passphrases
    keys.kdf          Argon2id profiles
    keys.errors       every error, one tree

Byte-exact formats are in docs/spec/. The package imports nothing else of ours and is usable alone.
"""

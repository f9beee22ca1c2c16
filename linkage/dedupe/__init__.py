"""A site's own duplicates, found in plaintext and by the site alone (docs/how-to/deduplicate.md).

    from linkage.dedupe import find

Nothing is written here but by `linkage.dedupe.listing`, which a person asks for.
"""

from linkage.dedupe.find import Duplicates, find

__all__ = ["Duplicates", "find"]

"""From originals to pseudonyms and back to their rows: issue, lookup, translation, removal."""

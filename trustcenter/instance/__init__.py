"""One instance: its files, its two rooms, and what passes between them."""

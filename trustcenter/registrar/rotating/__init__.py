"""Keys of domains: their states, their rotation step by step, and what takes two people."""

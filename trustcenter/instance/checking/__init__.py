"""What `doctor` and `fsck` look at. Both only read."""

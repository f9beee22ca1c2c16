"""What runs on the machine of an instance: make, serve, check, back up, restore, move, and rooms that are apart."""

"""The join map leaves: proposed, signed by two, sealed to its recipient; and what changes after it."""

"""Studies: states and versions, members and their secrets, records and their refs."""

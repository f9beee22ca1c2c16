"""What passes between the rooms: in one process, over one connection, or in files that people carry."""

"""The interface's description, made from the table of routes and the types of the messages."""

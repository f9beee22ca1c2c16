"""The operations of the interface: one table a subject, put together in `table`; `rooms` says which of them a process offers."""

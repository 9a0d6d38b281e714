"""SQLite: a file, a thread that owns its connection, and a handler's transaction."""

"""SQLite: one thread that owns one connection."""

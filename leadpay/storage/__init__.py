"""What the inbox keeps its events in: SQLite and PostgreSQL, without what an event is."""

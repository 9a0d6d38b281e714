"""PostgreSQL: two pools, batched inserts, notifications, and a handler's transaction."""

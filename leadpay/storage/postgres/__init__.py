"""PostgreSQL: pools, batches, migrations."""

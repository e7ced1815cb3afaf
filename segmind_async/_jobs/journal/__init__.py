"""The durable log of a job: SQLite tables, writer thread, lock, readers."""

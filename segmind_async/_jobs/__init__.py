"""Bulk jobs: rows in, a durable journal, outcomes and reports out."""

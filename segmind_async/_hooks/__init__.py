"""Reporting to hooks and to the log what a client does."""

"""Telling user code and the log what happens."""

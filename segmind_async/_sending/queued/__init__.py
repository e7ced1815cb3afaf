"""Calls through the queue of the service: submitted, polled for, and fetched."""

"""The accounts behind a client's keys: what each may do, and which of several takes the next call."""

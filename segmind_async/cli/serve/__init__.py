"""`serve`: the gateway as a command."""

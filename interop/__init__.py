"""Real clients tried against the gateway."""

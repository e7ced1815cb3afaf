"""The live page: what the gateway does, for people who look at it."""

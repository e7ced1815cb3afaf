"""The emulated service. It imports nothing from the library: a shared mistake would cancel out."""

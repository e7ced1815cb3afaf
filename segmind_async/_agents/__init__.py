"""The tool loop over a client."""

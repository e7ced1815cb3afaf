"""Segmind's own form of the API: requests pass as they are, answers and errors look like the service's."""

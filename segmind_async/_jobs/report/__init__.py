"""What a job came to, read from its journal."""

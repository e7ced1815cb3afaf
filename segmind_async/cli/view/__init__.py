"""What the live view of a job shows: its lines, fitted to the width of a terminal."""

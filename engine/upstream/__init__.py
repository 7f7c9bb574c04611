"""I/O to vendors."""

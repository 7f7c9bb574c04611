"""One file per rule; a check reports and never changes anything."""

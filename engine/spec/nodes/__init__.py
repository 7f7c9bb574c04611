"""Node kinds as users write them: one file a kind, and the table of them (`table.py`)."""

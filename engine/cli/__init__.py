"""The command `engine`: one file per command."""

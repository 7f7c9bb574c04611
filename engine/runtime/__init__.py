"""The data plane: a request, from match to record."""

"""Metrics and logs: views of the decision record."""

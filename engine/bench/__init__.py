"""Load, a fake upstream, reports."""
